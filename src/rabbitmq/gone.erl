%% Waits for the replicas of deleted quorum queues to end; on which nodes they do not.
Names = [binary_to_atom(Replica, utf8) || Replica <- REPLICAS],
Has = fun(Node) -> lists:any(fun(Name) -> is_pid(rpc:call(Node, erlang, whereis, [Name], 3000)) end, Names) end,
Left = fun() -> [Node || Node <- [node() | nodes()], Has(Node)] end,
Wait = fun Wait(Looks) ->
    case Left() of
        [_ | _] when Looks > 1 -> timer:sleep(100), Wait(Looks - 1);
        Nodes -> Nodes
    end
end,
Wait(100)
