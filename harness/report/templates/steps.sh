say() { printf '\n== %s\n' "$*"; }

# curl, and what came back: the head, and of the body its size, its hash, and its text where it is short.
# With ABORT_AFTER the connection is closed after so many bytes of the body; with BYTES_PER_S the body is read that slowly, which
# curl's own --limit-rate does not do with a short one.
call() {
    if [ "$1" = -I ]; then  # the answer to HEAD is its head
        curl -sS --globoff --path-as-is "${CURL[@]}" "$@" || echo "curl ended with status $?"
        return
    fi
    local body; body=$(mktemp -p "$WORK")
    if [ -n "${ABORT_AFTER:-}" ]; then
        curl -sS -N --globoff --path-as-is "${CURL[@]}" "$@" 2>/dev/null | slowly | head -c "$ABORT_AFTER" > "$body"
    elif [ -n "${BYTES_PER_S:-}" ]; then
        curl -sS -N -D "$body.head" --globoff --path-as-is "${CURL[@]}" "$@" | slowly > "$body"
        local ended=${PIPESTATUS[0]}
        cat "$body.head"
        [ "$ended" = 0 ] || echo "curl ended with status $ended"
    else
        curl -sS -D - -o "$body" --globoff --path-as-is "${CURL[@]}" "$@" || echo "curl ended with status $?"
    fi
    echo "body: $(wc -c < "$body") bytes, sha256 $(sha256sum < "$body" | cut -d ' ' -f 1)"
    if [ "$(wc -c < "$body")" -le 2000 ] && [ "$(tr -d '\000' < "$body" | wc -c)" = "$(wc -c < "$body")" ]; then
        cat "$body"; echo
    fi
}

# Passes on what comes, BYTES_PER_S at a time where it is set.
slowly() {
    [ -n "${BYTES_PER_S:-}" ] || { cat; return; }
    local piece; piece=$(mktemp -p "$WORK")
    while head -c "$BYTES_PER_S" > "$piece" && [ -s "$piece" ]; do cat "$piece" || break; sleep 1; done
}

# User name and password, each where it is not empty, as options of the mosquitto clients.
login() { LOGIN=(${1:+-u "$1"} ${2:+-P "$2"}); }

# Number, client id, user name, password, then options of mosquitto_sub: connects, subscribes, keeps what comes.
declare -A LISTENER
listen() {
    local number=$1 id=$2; login "$3" "$4"; shift 4
    local before; before=$(touch "$WORK/device-$number"; grep -c '^Subscribed' "$WORK/device-$number")
    stdbuf -oL mosquitto_sub -d -V mqttv311 -h "$MQTT_HOST" -p "$MQTT_PORT" "${MQTT[@]}" -i "$id" "${LOGIN[@]}" \
        -F 'message: topic=%t qos=%q retain=%r payload=%p' "$@" >> "$WORK/device-$number" 2>&1 &
    LISTENER[$number]=$!
    for _ in $(seq 50); do
        [ "$(grep -c '^Subscribed' "$WORK/device-$number")" -gt "$before" ] && return
        kill -0 "${LISTENER[$number]}" 2>/dev/null || break
        sleep 0.1
    done
    echo "device $number is not subscribed:"; cat "$WORK/device-$number"
}

# Number of the device and a signal: TERM says good-bye, KILL cuts the connection.
hang_up() { kill "-$2" "${LISTENER[$1]}" 2>/dev/null; wait "${LISTENER[$1]}" 2>/dev/null; }

# The download key of the next message of device $1.
declare -A TAKEN
next_key() {
    local taken=${TAKEN[$1]:-0} keys="$WORK/keys-$1"
    for _ in $(seq 100); do
        sed -n 's/^message: .*[?&]key=\([^"&\\ ]*\).*/\1/p' "$WORK/device-$1" > "$keys"
        [ "$(wc -l < "$keys")" -gt "$taken" ] && break
        sleep 0.1
    done
    TAKEN[$1]=$((taken + 1))
    KEY=$(sed -n "$((taken + 1))p" "$keys")
    [ -n "$KEY" ] || echo "device $1 was sent no key"
}

# Client id, user name and password: a clean session ends the one that was kept.
forget() { login "$2" "$3"; mosquitto_sub -E -V mqttv311 -h "$MQTT_HOST" -p "$MQTT_PORT" "${MQTT[@]}" -i "$1" "${LOGIN[@]}" -t "$1"; }

heard() { say "device $1 heard (the lines of mosquitto_sub -d, and the messages)"; cat "$WORK/device-$1"; }
