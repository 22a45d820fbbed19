%% Sets the queue's policy; an empty definition is none.
case {DEFINITION, rabbit_policy:lookup(VHOST, POLICY)} of
    {<<>>, not_found} -> true;
    {<<>>, _} -> rabbit_policy:delete(VHOST, POLICY, <<"jtest">>), true;
    {Definition, _} ->
        ok = rabbit_policy:parse_set(VHOST, POLICY, PATTERN, Definition, <<"0">>, <<"queues">>, <<"jtest">>),
        true
end
