%% The names by which the replicas of these queues are registered on their nodes; only quorum queues have any.
Replica = fun(Name) ->
    case rabbit_amqqueue:lookup(rabbit_misc:r(VHOST, queue, Name)) of
        {ok, Queue} ->
            case amqqueue:get_pid(Queue) of
                {Registered, _} -> [atom_to_binary(Registered, utf8)];
                _ -> []
            end;
        _ -> []
    end
end,
lists:append([Replica(Name) || Name <- QUEUES])
