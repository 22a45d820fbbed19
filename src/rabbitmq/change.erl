%% Makes or removes a policy, a user or a virtual host. A broker that is not up does not begin with it. Of an
%% exception nobody knows what was done before it.
Do = fun
    (<<"policy">>, <<"create">>) ->
        rabbit_policy:parse_set(VHOST, NAME, <<"^jtest\\.none$">>, <<"{\"max-length\":1000000}">>, <<"0">>, <<"queues">>, <<"jtest">>);
    (<<"policy">>, <<"delete">>) ->
        rabbit_policy:delete(VHOST, NAME, <<"jtest">>);
    (<<"user">>, <<"create">>) ->
        rabbit_auth_backend_internal:add_user(NAME, base64:encode(crypto:strong_rand_bytes(24)), <<"jtest">>);
    (<<"user">>, <<"delete">>) ->
        rabbit_auth_backend_internal:delete_user(NAME, <<"jtest">>);
    (<<"vhost">>, <<"create">>) ->
        rabbit_vhost:add(NAME, <<"jtest">>);
    (<<"vhost">>, <<"delete">>) ->
        rabbit_vhost:delete(NAME, <<"jtest">>)
end,
case catch rabbit:is_running() of
    true ->
        try Do(KIND, CHANGE) of
            ok -> <<"done">>;
            _ -> <<"unknown">>
        catch _:_ -> <<"unknown">>
        end;
    _ -> <<"refused">>
end
