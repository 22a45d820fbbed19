%% What the policies of the cluster make of each queue: whose policy it has, and what of it lets messages go
%% that nobody has read.
Losing = [<<"message-ttl">>, <<"expires">>, <<"max-length">>, <<"max-length-bytes">>, <<"overflow">>, <<"delivery-limit">>],
Effective = fun(Queue) ->
    Keys = case rabbit_policy:effective_definition(Queue) of
        Map when is_map(Map) -> maps:keys(Map);
        List when is_list(List) -> [Key || {Key, _} <- List];
        _ -> []
    end,
    #{name => case rabbit_policy:name(Queue) of none -> <<>>; Policy -> Policy end,
      limits => [Key || Key <- Keys, lists:member(Key, Losing)]}
end,
Found = fun(Name) ->
    {ok, Queue} = rabbit_amqqueue:lookup(rabbit_misc:r(VHOST, queue, Name)),
    Queue
end,
[Effective(Found(Name)) || Name <- QUEUES]
