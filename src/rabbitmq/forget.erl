%% Removes what Objects() tells of; which of it stays. Bindings go with their queue.
Remove = fun
    (queue, Name) ->
        {ok, Queue} = rabbit_amqqueue:lookup(rabbit_misc:r(VHOST, queue, Name)),
        rabbit_amqqueue:delete(Queue, false, false, <<"jtest">>);
    (exchange, Name) -> rabbit_exchange:delete(rabbit_misc:r(VHOST, exchange, Name), false, <<"jtest">>);
    (policy, Name) -> rabbit_policy:delete(VHOST, Name, <<"jtest">>);
    (user, Name) -> rabbit_auth_backend_internal:delete_user(Name, <<"jtest">>);
    (vhost, Name) -> rabbit_vhost:delete(Name, <<"jtest">>)
end,
Found = fun() -> [{Kind, Name} || {Kind, Names} <- maps:to_list(Objects()), Kind =/= binding, Name <- Names] end,
[(catch Remove(Kind, Name)) || {Kind, Name} <- Found()],
[Name || {_, Name} <- Found()]
