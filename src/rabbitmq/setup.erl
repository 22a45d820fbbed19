%% Makes the user with its rights, and the policy of the queue; what is there already is set right.
case rabbit_auth_backend_internal:lookup_user(USER) of
    {ok, _} -> rabbit_auth_backend_internal:change_password(USER, PASSWORD, <<"jtest">>);
    {error, not_found} -> rabbit_auth_backend_internal:add_user(USER, PASSWORD, <<"jtest">>)
end,
rabbit_auth_backend_internal:set_permissions(USER, VHOST, RIGHTS, RIGHTS, RIGHTS, <<"jtest">>),
true
