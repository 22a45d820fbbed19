%% What a broker that jtest did not configure is.
{ok, Version} = application:get_key(rabbit, vsn),
#{node => node(),
  version => list_to_binary(Version),
  partition_handling => case application:get_env(rabbit, cluster_partition_handling) of
      {ok, Mode} when is_atom(Mode) -> Mode;
      {ok, Mode} -> element(1, Mode);
      undefined -> ignore
  end,
  net_ticktime => case net_kernel:get_net_ticktime() of {_, Seconds} -> Seconds; Seconds -> Seconds end}
