%% What a node says of the cluster.
%% Running: nodes with the broker's application up. Partitions: nodes this one was cut from.
Running = fun() ->
    case erlang:function_exported(rabbit_nodes, list_running, 0) of
        true -> rabbit_nodes:list_running();
        false -> rabbit_nodes:all_running()
    end
end,
Partitions = fun() ->
    case erlang:function_exported(rabbit_node_monitor, partitions, 1) of
        true -> lists:usort(lists:append([Cut || {_, Cut} <- rabbit_node_monitor:partitions([node()])]));
        false -> []
    end
end,
%% A node knows the alarms of all; here its own count.
Alarms = fun() ->
    lists:usort([Source || {{resource_limit, Source, Node}, _} <- rabbit_alarm:get_alarms(), Node =:= node()])
end,
Try = fun(Ask) ->
    try Ask() catch Class:Reason -> #{error => iolist_to_binary(io_lib:format("~0p", [{Class, Reason}]))} end
end,
