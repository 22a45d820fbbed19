%% What the broker says of every queue of every virtual host, in the order of COLUMNS after the first two, which are its
%% virtual host and its name. The queues are asked all at once, and one that does not answer soon says so in its row.
Text = fun(Value) ->
    Said = if
        is_pid(Value) -> rabbit_misc:pid_to_string(Value);
        is_atom(Value) -> atom_to_binary(Value, utf8);
        is_binary(Value) -> Value;
        true -> io_lib:format("~0p", [Value])
    end,
    case unicode:characters_to_binary(Said) of
        Readable when is_binary(Readable) -> Readable;
        _ -> iolist_to_binary(io_lib:format("~0p", [Value]))
    end
end,
Found = lists:ukeysort(2, [{Vhost, amqqueue:get_name(Queue), Queue} ||
    Vhost <- Vhosts(), Queue <- rabbit_amqqueue:list(Vhost) ++ rabbit_amqqueue:list_down(Vhost)]),
Asked = lists:sublist(Found, MOST),
%% The queue's leader knows its counts; a follower has none, or those of the time when it led.
%% An error that is not caught would be in the broker's log, as one of its own.
Row = fun(Queue) ->
    try
        Leader = amqqueue:qnode(Queue),
        case rpc:call(Leader, rabbit_amqqueue, info, [Queue, COLUMNS], 7000) of
            [_ | _] = Said -> [Text(Value) || {_, Value} <- Said];
            Other -> [Text({Leader, Other})]
        end
    catch Class:Reason -> [Text({Class, Reason})]
    end
end,
Asking = [spawn_monitor(fun() -> exit({said, Row(Queue)}) end) || {_, _, Queue} <- Asked],
Until = erlang:monotonic_time(millisecond) + 8000,
Rows = lists:zipwith(fun({Vhost, {resource, _, queue, Name}, _}, {Process, Monitor}) ->
    Said = receive
        {'DOWN', Monitor, process, _, {said, Values}} -> Values
    after max(0, Until - erlang:monotonic_time(millisecond)) ->
        exit(Process, kill),
        [<<"does not answer">>]
    end,
    [Text(Vhost), Text(Name) | Said]
end, Asked, Asking),
#{rows => Rows, more => length(Found) - length(Asked)}
