# What the broker does by its own means. $1: what is done, $2: the queue under test.

# Of AMQP, streams and others.
app_connections='
  Connections = fun() ->
    rabbit_networking:connections_local() ++ case erlang:function_exported(rabbit_networking, local_non_amqp_connections, 0) of
      true -> rabbit_networking:local_non_amqp_connections();
      false -> []
    end
  end,
'

look() {
  case $1 in
    stop-app)
      echo "was=$(cat "$jtest_fault/was" 2>/dev/null || true)"
      echo "app=$(rabbit_app || echo unreachable)"
      ;;
    close-connections)
      echo "asked=$(cat "$jtest_fault/asked" 2>/dev/null || true)"
      look_left=0
      for look_pid in $(cat "$jtest_fault/pids" 2>/dev/null || true); do
        look_alive=$(rabbit_eval "atom_to_list(is_process_alive(list_to_pid(\"$look_pid\")))") || look_alive=unknown
        if [ "$look_alive" != false ]; then look_left=$((look_left + 1)); fi
      done
      echo "left=$look_left"
      ;;
    kill-queue-process)
      look_pid=$(cat "$jtest_fault/pid" 2>/dev/null) || look_pid=
      echo "pid=$look_pid"
      if [ -n "$look_pid" ]; then echo "alive=$(rabbit_eval "atom_to_list(is_process_alive(list_to_pid(\"$look_pid\")))")"; fi
      ;;
  esac
}

inject() {
  case $1 in
    stop-app)
      rabbit_app >"$jtest_fault/was"
      rabbitmqctl -q stop_app </dev/null
      ;;
    close-connections)
      inject_pids=$(rabbit_eval "$app_connections"'lists:flatten(lists:join(" ", [pid_to_list(P) || P <- Connections()]))') || return 1
      if [ -z "$inject_pids" ]; then
        inject_causes=$(held_by)
        if [ -n "$inject_causes" ]; then
          jtest_idle "the broker has no connection, by $inject_causes"
          return
        fi
      fi
      printf '%s\n' "$inject_pids" >"$jtest_fault/pids"
      # One may be gone before its turn comes.
      rabbit_eval "$app_connections"'
        integer_to_list(length([catch rabbit_reader:shutdown(P, "closed by jtest") || P <- Connections()]))' >"$jtest_fault/asked" || return 1
      ;;
    kill-queue-process)
      rabbit_eval "{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, $(rabbit_queue "$2"))),
        Mirrors = case erlang:function_exported(amqqueue, get_slave_pids, 1) of
          true -> case amqqueue:get_slave_pids(Q) of L when is_list(L) -> L; _ -> [] end;
          false -> []
        end,
        Here = case amqqueue:get_pid(Q) of
          {Name, _} -> [whereis(Name)];
          Pid -> [P || P <- [Pid | Mirrors], node(P) =:= node()]
        end,
        case [P || P <- Here, is_pid(P)] of
          [P | _] -> exit(P, kill), pid_to_list(P);
          [] -> \"none\"
        end" >"$jtest_fault/pid"
      if ! grep -q '^<' "$jtest_fault/pid"; then
        echo "the queue has no process here" >&2
        return 1
      fi
      ;;
  esac
}

undo() {
  if ! rabbit_runs; then return 0; fi
  undo_app=$(rabbit_app) || return 1
  # In the background: an application that waits for its peers must not keep the undo from their hosts.
  if [ "$undo_app" = stopped ]; then
    systemd-run --quiet --collect --unit="jtest-start-app-$$" rabbitmqctl -q start_app
  fi
}
