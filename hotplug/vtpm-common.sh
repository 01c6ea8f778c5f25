# shellcheck shell=sh
# vTPM devices: vtpm.db, and what `vtpm add` and `vtpm remove` do. To be sourced; $here is the
# folder of these scripts.
#
# vtpm.db is for people and for older scripts: a line `UUID INSTANCE [NAME]` for each vTPM that a
# domain has had, NAME being the domain's name at the last time. The manager itself remembers which
# instance belongs to a uuid.

# shellcheck source=hotplug/vtpm-hotplug-common.sh
. "$here/vtpm-hotplug-common.sh"
# shellcheck source=hotplug/vtpm-impl
. "$here/vtpm-impl"

VTPM_STATE_DIR=${VTPM_STATE_DIR:-/var/vtpm}
VTPMDB=$VTPM_STATE_DIR/vtpm.db

# vtpmdb_replace FILTER ARGUMENT...: runs awk over vtpm.db and puts the result in its place
vtpmdb_replace() {
	[ -e "$VTPMDB" ] || echo "# UUID INSTANCE DOMAIN" >"$VTPMDB" || return 1
	awk "$@" "$VTPMDB" >"$VTPMDB.new" && sync "$VTPMDB.new" && mv "$VTPMDB.new" "$VTPMDB"
}

# vtpmdb_put UUID INSTANCE NAME: adds or changes a line
vtpmdb_put() {
	vtpmdb_replace -v uuid="$1" -v line="$1 $2 $3" '
		tolower($1) == tolower(uuid) { if (!done) print line; done = 1; next }
		{ print }
		END { if (!done) print line }'
}

# vtpmdb_drop UUID
vtpmdb_drop() {
	vtpmdb_replace -v uuid="$1" 'tolower($1) != tolower(uuid)'
}

# vtpmdb_instance UUID: its instance; vtpmdb_uuids NAME: the uuids of the domain's vTPMs
vtpmdb_instance() {
	[ -e "$VTPMDB" ] || return 0
	awk -v uuid="$1" '/^#/ { next } tolower($1) == tolower(uuid) { print $2; exit }' "$VTPMDB"
}

vtpmdb_uuids() {
	[ -e "$VTPMDB" ] || return 0
	awk -v name="$1" '/^#/ { next } $3 == name { print $1 }' "$VTPMDB"
}

domain_name() {
	xenstore-read "/local/domain/$(xenstore_read frontend-id)/name" 2>/dev/null || echo -
}

vtpm_add() {
	uuid=$(xenstore_read uuid)
	[ -n "$uuid" ] || fatal "the device has no uuid; give it one in the domain's configuration:" \
		"vtpm = [ 'backend=Domain-0,uuid=UUID' ]"
	xenstore-rm "$XENBUS_PATH/hotplug-error" 2>/dev/null || true
	known=$(vtpmdb_instance "$uuid")
	preferred=$(xenstore_read pref_instance)
	[ -z "$known" ] || preferred=

	instance=$(vtpm_define "$uuid" "$preferred" 2>&1) ||
		instance=$(vtpm_define "$uuid" 2>&1) || fatal "no instance for vTPM $uuid: $instance"
	claim_lock "$VTPMDB.lock"
	vtpmdb_put "$uuid" "$instance" "$(domain_name)" || log "cannot write $VTPMDB"
	release_lock

	if [ "$(xenstore_read resume)" = True ]; then
		error=$(vtpm_resume "$instance" 2>&1) ||
			fatal "instance $instance of vTPM $uuid does not resume: $error"
	else
		error=$(vtpm_start "$instance" 2>&1) ||
			fatal "instance $instance of vTPM $uuid does not start: $error"
	fi
	xenstore_write instance "$instance" hotplug-status connected
}

vtpm_remove() {
	instance=$(xenstore_read instance "${VTPM_INSTANCE-}")
	[ -n "$instance" ] || instance=$(vtpmdb_instance "$(xenstore_read uuid "${VTPM_UUID-}")")
	if [ -z "$instance" ]; then
		log "nothing to remove: the device never got an instance"
	elif [ "${VTPM_SUSPENDED-}" = 1 ]; then
		error=$(vtpm_suspend "$instance" 2>&1) ||
			fatal "the state of suspended instance $instance is not kept: $error"
	else
		error=$(vtpm_stop "$instance" 2>&1) || fatal "instance $instance is not closed: $error"
	fi
}

# vtpm_delete UUID: for good
vtpm_delete() {
	error=$(vtpm_destroy "$1" 2>&1) || fatal "vTPM $1 is not deleted: $error"
	claim_lock "$VTPMDB.lock"
	vtpmdb_drop "$1"
	release_lock
}
