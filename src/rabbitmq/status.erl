%% What this node says of the cluster and of the queues, all asked at once.
%% Lacking: of the applications that clients need, those that do not run, or whose start is not at its end.
%% Others list a node as running before that, and it may hang there. A plugin can stop alone, with the broker going on.
%% The counts are the leader's own at this moment, not the statistics that `list_queues` shows:
%% for a quorum queue a consistent query, which a majority has to answer.
%% Ra 3, in RabbitMQ 4.3, takes no funs any more; earlier ones take nothing else.
Query = fun(Function) ->
    {ok, Version} = application:get_key(ra, vsn),
    case list_to_integer(hd(string:lexemes(Version, "."))) of
        Major when Major >= 3 -> {rabbit_fifo, Function, []};
        _ -> fun rabbit_fifo:Function/1
    end
end,
Asked = fun(Server, Function) ->
    {ok, Answer, {_, Leader}} = ra:consistent_query(Server, Query(Function), 8000),
    {Answer, Leader}
end,
Quorum = fun(Queue) ->
    Server = {Name, _} = amqqueue:get_pid(Queue),
    {Total, Leader} = Asked(Server, query_messages_total),
    {Out, _} = Asked(Server, query_messages_checked_out),
    %% On their way to where dead letters go, and still the queue's.
    Dying = case erlang:function_exported(rabbit_fifo, query_stat_dlx, 1) of
        true -> {{Count, _}, _} = Asked(Server, query_stat_dlx), Count;
        false -> 0
    end,
    CheckedOut = case Out of #{} -> maps:size(Out); _ -> Out end,
    Members = case amqqueue:get_type_state(Queue) of
        #{nodes := Listed} when is_list(Listed) -> Listed;
        #{nodes := ById} -> maps:keys(ById)
    end,
    Online = [Node || Node <- Members, is_pid(rpc:call(Node, erlang, whereis, [Name], 3000))],
    #{leader => Leader, ready => max(0, Total - CheckedOut - Dying), unacknowledged => CheckedOut + Dying,
      members => Members, online => Online}
end,
%% Reading takes nothing out of a stream: the length of the own replica, or of the leader's, is what is ready.
%% (Of what is committed, brokers state the first offset of the last chunk.)
Stream = fun(Queue) ->
    #{nodes := Members} = amqqueue:get_type_state(Queue),
    [{leader, Leader}, {online, Online}] = rabbit_amqqueue:info(Queue, [leader, online]),
    Name = amqqueue:get_name(Queue),
    Lengths = fun(Counters) ->
        [Offset + 1 || {{Role, Of}, #{offset := Offset}} <- maps:to_list(Counters), Of =:= Name,
            Role =:= osiris_writer orelse Role =:= osiris_replica]
    end,
    Length = case Lengths(osiris_counters:overview()) of
        [Own | _] -> Own;
        [] -> hd(Lengths(rpc:call(Leader, osiris_counters, overview, [], 8000)))
    end,
    #{leader => Leader, ready => Length, unacknowledged => 0, members => Members, online => Online}
end,
Mirrors = fun(Queue, Function) ->
    case erlang:function_exported(amqqueue, Function, 1) of
        true -> case amqqueue:Function(Queue) of
            Pids when is_list(Pids) -> [node(Pid) || Pid <- Pids];
            _ -> []
        end;
        false -> []
    end
end,
Classic = fun(Queue) ->
    Leader = node(amqqueue:get_pid(Queue)),
    [{messages_ready, Ready}, {messages_unacknowledged, Unacknowledged}] =
        rabbit_amqqueue:info(Queue, [messages_ready, messages_unacknowledged]),
    #{leader => Leader, ready => Ready, unacknowledged => Unacknowledged,
      members => [Leader | Mirrors(Queue, get_slave_pids)],
      online => [Leader | Mirrors(Queue, get_sync_slave_pids)]}
end,
Queue = fun(Name) ->
    case rabbit_amqqueue:lookup(rabbit_misc:r(VHOST, queue, Name)) of
        {ok, Found} ->
            case amqqueue:get_type(Found) of
                rabbit_quorum_queue -> Quorum(Found);
                rabbit_stream_queue -> Stream(Found);
                _ -> Classic(Found)
            end;
        _ -> #{absent => true}
    end
end,
Queues = fun() ->
    Asking = [spawn_monitor(fun() -> exit({said, Try(fun() -> Queue(Name) end)}) end) || Name <- QUEUES],
    [receive
        {'DOWN', Monitor, process, _, {said, Answer}} -> Answer;
        {'DOWN', Monitor, process, _, Reason} -> Try(fun() -> exit(Reason) end)
    end || {_, Monitor} <- Asking]
end,
Lacking = fun() ->
    NEEDED -- case rabbit:is_running() of
        true -> [atom_to_binary(Name, utf8) || {Name, _, _} <- application:which_applications()];
        _ -> []
    end
end,
#{lacking => Try(Lacking), running => Try(Running), partitions => Try(Partitions), alarms => Try(Alarms), queues => Queues()}
