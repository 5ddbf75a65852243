# Turns DATABASE_URL into lines of a libpq service file, so that no password stands on a command
# line, where every user of the machine could read it.
#
# Input: the URL, one line. Parameters that libpq doesn't know are Django's or psycopg's own
# (conn_max_age, pool, ...) and are left out: libpq would refuse them.
# https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-CONNSTRING

BEGIN {
    split("sslmode sslcompression sslcert sslkey sslpassword sslcertmode sslrootcert sslcrl " \
          "sslcrldir sslsni sslnegotiation ssl_min_protocol_version ssl_max_protocol_version " \
          "gssencmode krbsrvname gsslib gssdelegation host hostaddr port user password passfile " \
          "require_auth channel_binding connect_timeout options application_name keepalives " \
          "keepalives_idle keepalives_interval keepalives_count tcp_user_timeout requirepeer " \
          "target_session_attrs load_balance_hosts client_encoding min_protocol_version " \
          "max_protocol_version", names, " ")
    for (i in names) known[names[i]] = 1
    hex = "0123456789abcdef"
}

function decoded(text,    result, at, high, low) {
    result = ""
    while ((at = index(text, "%")) > 0) {
        high = index(hex, tolower(substr(text, at + 1, 1)))
        low = index(hex, tolower(substr(text, at + 2, 1)))
        if (!high || !low || length(text) < at + 2) wrong("% must be followed by two hex digits")
        result = result substr(text, 1, at - 1) sprintf("%c", (high - 1) * 16 + low - 1)
        text = substr(text, at + 3)
    }
    return result text
}

function wrong(why) {
    print "expected postgresql://USER:PASSWORD@HOST:PORT/NAME (" why ")" > "/dev/stderr"
    failed = 1
    exit 1
}

function set(name, value) {
    if (value != "") found[name] = value
}

{
    url = $0
    if (url !~ /^postgres(ql)?:\/\//) wrong("it begins otherwise")
    sub(/^postgres(ql)?:\/\//, "", url)

    escapes = "in a password, / is written as %2F, ? as %3F, # as %23, @ as %40"
    if (index(url, "#")) wrong(escapes)
    query = ""
    if ((at = index(url, "?")) > 0) { query = substr(url, at + 1); url = substr(url, 1, at - 1) }
    path = ""
    if ((at = index(url, "/")) > 0) { path = substr(url, at + 1); url = substr(url, 1, at - 1) }
    if (index(path query, "@")) wrong(escapes)
    if (path == "") wrong("the database's name is missing")
    set("dbname", decoded(path))

    user = ""
    while ((at = index(url, "@")) > 0) {  # the last one ends the password
        user = user (user == "" ? "" : "@") substr(url, 1, at - 1)
        url = substr(url, at + 1)
    }
    if ((at = index(user, ":")) > 0) {
        set("password", decoded(substr(user, at + 1)))
        user = substr(user, 1, at - 1)
    }
    set("user", decoded(user))

    hosts = ports = ""
    count = split(url, parts, ",")
    for (i = 1; i <= count; i++) {
        port = ""
        host = parts[i]
        if (match(host, /:[0-9]*$/)) { port = substr(host, RSTART + 1); host = substr(host, 1, RSTART - 1) }
        gsub(/^\[|\]$/, "", host)
        hosts = hosts (i > 1 ? "," : "") decoded(host)
        ports = ports (i > 1 ? "," : "") port
    }
    set("host", hosts)
    if (ports ~ /[0-9]/) set("port", ports)

    count = split(query, parts, "&")
    for (i = 1; i <= count; i++) {
        at = index(parts[i], "=")
        if (at && substr(parts[i], 1, at - 1) in known)
            set(substr(parts[i], 1, at - 1), decoded(substr(parts[i], at + 1)))
    }
}

END {
    if (failed) exit 1
    for (name in found) {
        if (found[name] ~ /\n/) wrong("a line break in " name)
        print name "=" found[name]
    }
}
