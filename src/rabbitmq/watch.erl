%% What a node says of itself and the cluster, at once and without asking another.
%% Leader: the queue's in this node's eyes; of a quorum queue, itself if it holds itself for that.
Led = fun() ->
    {ok, Queue} = rabbit_amqqueue:lookup(rabbit_misc:r(VHOST, queue, QUEUE)),
    case {amqqueue:get_type(Queue), amqqueue:get_pid(Queue)} of
        {rabbit_quorum_queue, {Name, Known}} ->
            Role = case ets:lookup(ra_state, Name) of
                [Own | _] -> element(2, Own);
                [] -> none
            end,
            case Role of
                leader -> node();
                candidate -> none;
                pre_vote -> none;
                _ -> Known
            end;
        {_, Pid} when is_pid(Pid) -> node(Pid);
        _ -> none
    end
end,
#{running => Try(Running), partitions => Try(Partitions), alarms => Try(Alarms), leader => Try(Led),
  system_us => os:system_time(microsecond)}
