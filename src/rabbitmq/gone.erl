%% Waits for the replicas of a deleted quorum queue to end; on which nodes they do not.
Name = binary_to_atom(REPLICA, utf8),
Left = fun() -> [Node || Node <- [node() | nodes()], is_pid(rpc:call(Node, erlang, whereis, [Name], 3000))] end,
Wait = fun Wait(Looks) ->
    case Left() of
        [_ | _] when Looks > 1 -> timer:sleep(100), Wait(Looks - 1);
        Nodes -> Nodes
    end
end,
Wait(100)
