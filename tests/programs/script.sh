#!/bin/bash
# What bash and coreutils are asked in daily life; prints the same on every run.
set -u
work=$(mktemp -d) && cd "$work" || exit 1
trap 'echo "leaving with $?"; rm -rf "$work"' EXIT

# Pipes and their statuses.
seq 1 1000 | grep 7 | wc -l
seq 1 100000 | head -n 3 | tr '\n' ' '; echo "${PIPESTATUS[1]}"
set -o pipefail
false | cat; echo "pipefail $?"
set +o pipefail

# Here-documents, here-strings, process substitution.
name=world
cat <<END | sort -r
b hello $name
a $((6 * 7))
END
cat <<'END'
$name stays
END
tr a-z A-Z <<<"shout"
diff <(printf '1\n2\n') <(printf '1\n3\n') | sed -n 's/^> /differs: /p'

# Files and modes.
mkdir -p one/two && printf 'x\ny\n' >one/two/file && ln -s two/file one/link
cat one/link && stat -c '%a %s %F' one/two/file && readlink one/link
chmod 600 one/two/file && cp -p one/two/file copy && stat -c %a copy
find . -type f | sort && mv copy moved && ls -1
[[ -L one/link && ! -e copy ]] && echo tests hold

# Signals and traps.
trap 'echo got USR1' USR1
kill -USR1 $$
(trap 'echo child got TERM; exit 3' TERM; kill -TERM $BASHPID; sleep 5); echo "subshell $?"
timeout 0.2 sleep 10; echo "timeout $?"

# Background jobs.
mkfifo gate
(read -r _ <gate; exit 4) & slow=$!
# It ends when the shell waits (61 is wait4): bash can lose a job that ends between its look and its wait.
(until read -r call _ <"/proc/$$/syscall" && [ "$call" = 61 ]; do :; done; exit 2) & quick=$!
wait -n "$quick" "$slow"; echo "first $?"
echo open >gate; wait "$slow"; echo "slow $?"
for i in 1 2 3; do (sleep "0.$i"; echo "job $i") & done | sort
wait
sleep 100 & victim=$!
kill -KILL "$victim"; wait "$victim" 2>/dev/null; echo "victim $?"
coproc cat; echo through >&"${COPROC[1]}"; read -r line <&"${COPROC[0]}"; echo "coproc $line"
eval "exec ${COPROC[1]}>&-"; wait

# The shell itself.
declare -A map=([k]=v); arr=(a b c); echo "${map[k]} ${#arr[@]} ${arr[@]:1}"
printf -v padded '%05d' 42; echo "$padded ${padded/0/-} ${padded##*0}"
fib() { (($1 < 2)) && echo "$1" || echo $(($(fib $(($1 - 1))) + $(fib $(($1 - 2))))); }
fib 8
case "$(uname -s)" in Linux) echo linux ;; *) echo other ;; esac
exit 9
