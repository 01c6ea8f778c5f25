# shellcheck shell=sh
# What every hotplug script needs: xenstore, messages, a lock. To be sourced.

# xenstore_read NODE [DEFAULT]: a node of the device
xenstore_read() {
	xenstore-read "$XENBUS_PATH/$1" 2>/dev/null || echo "${2-}"
}

device_exists() {
	xenstore-exists "$XENBUS_PATH/frontend" 2>/dev/null
}

# xenstore_write NODE VALUE [NODE VALUE...]: nodes of the device, all at once, if it still is there
xenstore_write() {
	device_exists || return 0
	count=$#
	while [ "$count" -gt 0 ]; do
		set -- "$@" "$XENBUS_PATH/$1" "$2"
		shift 2
		count=$((count - 2))
	done
	xenstore-write "$@"
	# The toolstack may just have removed it: do not bring it back.
	device_exists || xenstore-rm "$XENBUS_PATH" 2>/dev/null || true
}

# Messages go to the manager's log.
log() {
	echo "vtpm hotplug: ${XENBUS_PATH-}: $*" >&2
}

# fatal SENTENCE: tells the operator, in the log and in xenstore, and ends the script
fatal() {
	log "error: $*"
	if [ -n "${XENBUS_PATH-}" ]; then
		xenstore_write hotplug-error "$*" hotplug-status error || true
	fi
	exit 1
}

# claim_lock FILE: waits for the lock; it is held until this script ends, however it ends. The file
# stays, a lock cannot.
claim_lock() {
	(: >>"$1") 2>/dev/null || fatal "cannot make the lock $1; is its folder there and writable?"
	exec 9>>"$1"
	flock -w 30 9 || fatal "another hotplug script has held the lock $1 for 30 s; see 'fuser $1'"
}

release_lock() {
	exec 9>&-
}
