#!/bin/sh
# Runs test programs and counts what their TAP output says.
#
#     sh tests/run.sh LOGS < LIST        a line of LIST: NAME SECONDS COMMAND...
#
# `cmake` writes the list of build/tests to build/tests/list.txt. Two programs run at a time, as many keep one core busy
# (compiling shaders, drawing reference pictures). Each one's output is kept as LOGS/NAME.tap, and shown where something
# failed. A program that crashes, takes longer than SECONDS, reports fewer tests than it planned or ends with a status
# that its report does not explain counts as one more failure. One that prints no plan counts as one test: 0 passed,
# 77 skipped (its last line is the reason). A skip's reason is the last line "# skip: ..." before it.
# Ends with "N passed, N failed" (and ", N skipped", the reasons above); status 1 where one failed or none ran.
set -u
logs=$1

# stdin: a program's output; $1 its exit status. Prints "passed failed skipped" and then what went wrong.
count() {
    awk -v status="$1" -v skipped_file="$logs/$name.skipped" '
        function skip(why) { skipped++; print why >skipped_file }
        { last = $0 }
        /^1\.\.[0-9]+/ && !planned { planned = 1; plan = substr($1, 4) + 0 }
        /^# skip: / { reason = substr($0, 9) }
        /^(not )?ok [0-9]+ .*# *SKIP/ { at = $0; sub(/.*# *SKIP */, "", at); skip(reason != "" ? reason : at); reason = ""; next }
        /^ok [0-9]/ { passed++ }
        /^not ok [0-9]/ { failed++; problems = problems "\n" $0 }
        END {
            if (!planned && passed + failed + skipped == 0) {
                if (status == 0) passed = 1
                else if (status == 77) skip(last)
                else { failed = 1; problems = "\nstatus " status }
            } else if (status == 124 || status == 137) { failed++; problems = problems "\ntook too long" }
            else if (status > 128) { failed++; problems = problems "\nended by signal " status - 128 }
            else if (!planned) { failed++; problems = problems "\nno plan" }
            else if (passed + failed + skipped < plan) { problems = problems "\nstopped after " passed + failed + skipped " of " plan; failed++ }
            else if (status != 0 && failed == 0) { failed++; problems = problems "\nstatus " status " though nothing failed" }
            printf "%d %d %d%s\n", passed, failed, skipped, problems
        }'
}

# A line of LIST, as words: runs it, tells how it went, and leaves "passed failed skipped" in LOGS/NAME.count.
run_one() {
    name=$1 seconds=$2
    shift 2
    log=$logs/$name.tap begun=$(date +%s)
    CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 10 "$seconds" "$@" >"$log" 2>&1 </dev/null
    result=$(count $? <"$log")
    numbers=$(printf '%s\n' "$result" | head -n 1)
    set -- $numbers
    report="$name: $1 passed, $2 failed, $3 skipped ($(($(date +%s) - begun)) s)"
    [ "$2" -eq 0 ] || report="$report
$(printf '%s\n' "$result" | sed 1d | sed 's/^/    /')
    the end of $log:
$(tail -n 40 "$log" | sed 's/^/    | /')"
    printf '%s\n' "$report"
    echo "$numbers" >"$logs/$name.count"
}

if [ $# -gt 1 ]; then    # as xargs calls it below, with one line
    run_one $2
    exit
fi

mkdir -p "$logs" || exit 1
rm -f "$logs"/*.count "$logs"/*.skipped
grep . >"$logs/list.txt"
xargs -r -d '\n' -n 1 -P 2 sh "$0" "$logs" <"$logs/list.txt"

total_passed=0 total_failed=0 total_skipped=0
while read -r name rest; do
    passed=0 failed=1 skipped=0
    [ -s "$logs/$name.count" ] && read -r passed failed skipped <"$logs/$name.count" || echo "$name: came to no end"
    total_passed=$((total_passed + passed)) total_failed=$((total_failed + failed)) total_skipped=$((total_skipped + skipped))
done <"$logs/list.txt"

if [ $total_skipped -gt 0 ]; then
    echo "skipped:"
    cat "$logs"/*.skipped | sort | uniq -c
fi
printf '%d passed, %d failed' $total_passed $total_failed
[ $total_skipped -eq 0 ] || printf ', %d skipped' $total_skipped
echo
[ $total_failed -eq 0 ] && [ $total_passed -gt 0 ]
