%% The names of all virtual hosts.
Vhosts = fun() ->
    case erlang:function_exported(rabbit_vhost, list_names, 0) of
        true -> rabbit_vhost:list_names();
        false -> rabbit_vhost:list()
    end
end,
