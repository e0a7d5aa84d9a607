#!/bin/bash
# Before Envoy is told to end: no new connections, and what is under way may finish, for 10 s at most (streams have no
# end of their own). Its image has no HTTP client, hence bash's. The argument is the admin port.
admin=${1:-8001}

ask() {
  exec 3<>"/dev/tcp/127.0.0.1/$admin"
  printf '%s %s HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n' "$1" "$2" >&3
  cat <&3
  exec 3>&-
}

ask POST '/drain_listeners?graceful&skip_exit' >/dev/null
for _ in {1..40}; do
  [[ $(ask GET '/stats?filter=^http.edge.downstream_rq_active$') == *'rq_active: 0'* ]] && exit
  sleep 0.25
done
