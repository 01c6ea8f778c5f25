# shellcheck shell=bash
# What every command in dom0 begins with.

# guest_ramdisk OUT [tools]: a guest's initramfs, with TPM tools if wanted
guest_ramdisk() {
	cat /lab/guest.cpio ${2:+/lab/tools.cpio} >"$1"
}

# console_of NAME: the file with all that guests of this name have said
console_of() {
	echo "/var/log/xen/console/guest-$1.log"
}

# wait_console NAME PATTERN [SECONDS] [FROM]: until the console shows it, FROM this byte on
wait_console() {
	local log

	log=$(console_of "$1")
	# tail sleeps until there is more: polling would take the guest's time.
	timeout "${3:-120}" grep -q -m 1 -- "$2" \
		< <(tail --pid=$$ -s 5 -c "+${4:-1}" -F "$log" 2>/dev/null) && return 0
	echo "no '$2' on the console of $1 in ${3:-120} s; it ends:"
	tail -n 20 "$log"
	return 1
}

console_size() {
	stat -c %s "$(console_of "$1")" 2>/dev/null || echo 0
}

# guest_run NAME COMMAND [SECONDS]: runs it in the guest's shell; its output and status
guest_run() {
	local from end="=end-$RANDOM$RANDOM=" said

	from=$(($(console_size "$1") + 1))
	# In two pieces, so that the echo of what was typed does not look like the end.
	# shellcheck disable=SC2016 # for the shell of the guest
	printf '{ %s\n} 2>&1; s=$?; echo; echo "%s""%s$s"\n' "$2" "${end:0:3}" "${end:3}" \
		>"$(xenstore-read "/local/domain/$(xl domid "$1")/console/tty")"
	wait_console "$1" "^$end" "${3:-120}" "$from" || return 125
	said=$(tail -c "+$from" "$(console_of "$1")" | tr -d '\r')
	echo "${said%"$end"*}"
	return "${said##*"$end"}"
}
