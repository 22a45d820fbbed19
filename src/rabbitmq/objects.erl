%% The names of everything that the clients of a metadata workload made, as this node itself knows it.
Own = fun(Names) -> [Name || <<"jtest.metadata.", _/binary>> = Name <- Names] end,
Direct = rabbit_misc:r(VHOST, exchange, <<"amq.direct">>),
#{queue => Own([Name || Queue <- rabbit_amqqueue:list(VHOST), {resource, _, queue, Name} <- [amqqueue:get_name(Queue)]]),
  exchange => Own([Name || Exchange <- rabbit_exchange:list(VHOST), {resource, _, exchange, Name} <- [element(2, Exchange)]]),
  binding => Own([element(3, Binding) || Binding <- rabbit_binding:list_for_source(Direct)]),
  policy => Own([proplists:get_value(name, Policy) || Policy <- rabbit_policy:list(VHOST)]),
  user => Own([proplists:get_value(user, User) || User <- rabbit_auth_backend_internal:list_users()]),
  vhost => Own(Vhosts())}
