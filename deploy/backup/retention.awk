# Prints which dumps go. Input: `NAME-YYYYMMDDTHHMMSSZ.dump PROVEN`, the newest first.
#
# Kept are the `last` newest, the newest of each of the `daily` latest days that have one and of each
# of the `weekly` latest weeks (Monday to Sunday), as restic's --keep-* counts them; and, whatever
# the numbers say, the newest dump and the newest that is proven.

function monday(date,    y, m, d, a) {  # the number of the week, by the Julian day
    y = substr(date, 1, 4) + 0; m = substr(date, 5, 2) + 0; d = substr(date, 7, 2) + 0
    a = int((14 - m) / 12); y = y + 4800 - a; m = m + 12 * a - 3
    return int((d + int((153 * m + 2) / 5) + 365 * y + int(y / 4) - int(y / 100) + int(y / 400) - 32045) / 7)
}

{
    keep = NR == 1 || NR <= last
    if ($2 && !proven++) keep = 1
    if (!match($1, /-[0-9]+T[0-9]+Z\.dump$/)) next  # none of ours
    day = substr($1, RSTART + 1, 8)
    if (day != latest_day) { latest_day = day; if (++days <= daily) keep = 1 }
    week = monday(day)
    if (week != latest_week) { latest_week = week; if (++weeks <= weekly) keep = 1 }
    if (!keep) print $1
}
