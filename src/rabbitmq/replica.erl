%% The name by which a quorum queue's replicas are registered on their nodes; empty for any other queue.
case rabbit_amqqueue:lookup(rabbit_misc:r(VHOST, queue, QUEUE)) of
    {ok, Queue} ->
        case amqqueue:get_pid(Queue) of
            {Name, _} -> atom_to_binary(Name, utf8);
            _ -> <<>>
        end;
    _ -> <<>>
end
