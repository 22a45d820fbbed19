%% What the policies of the cluster make of the queue: whose policy it has, and what of it lets messages go
%% that nobody has read.
{ok, Queue} = rabbit_amqqueue:lookup(rabbit_misc:r(VHOST, queue, QUEUE)),
Keys = case rabbit_policy:effective_definition(Queue) of
    Map when is_map(Map) -> maps:keys(Map);
    List when is_list(List) -> [Key || {Key, _} <- List];
    _ -> []
end,
Losing = [<<"message-ttl">>, <<"expires">>, <<"max-length">>, <<"max-length-bytes">>, <<"overflow">>, <<"delivery-limit">>],
#{name => case rabbit_policy:name(Queue) of none -> <<>>; Name -> Name end,
  limits => [Key || Key <- Keys, lists:member(Key, Losing)]}
