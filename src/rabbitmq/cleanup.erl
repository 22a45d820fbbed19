%% Removes from a broker what jtest made there: its user, its policy, and the queues whose names begin
%% as its own. The value tells what was found.
Mine = [Queue || Queue <- rabbit_amqqueue:list(VHOST),
    {resource, _, queue, <<"jtest.", _/binary>>} <- [amqqueue:get_name(Queue)]],
[{ok, _} = rabbit_amqqueue:delete(Queue, false, false, <<"jtest">>) || Queue <- Mine],
Policy = case rabbit_policy:lookup(VHOST, POLICY) of
    not_found -> [];
    _ -> rabbit_policy:delete(VHOST, POLICY, <<"jtest">>), [<<"its policy">>]
end,
User = case rabbit_auth_backend_internal:lookup_user(USER) of
    {ok, _} -> rabbit_auth_backend_internal:delete_user(USER, <<"jtest">>), [<<"its user">>];
    _ -> []
end,
[<<"its queues">> || Mine =/= []] ++ Policy ++ User
