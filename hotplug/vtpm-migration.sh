# shellcheck shell=sh
# The steps of a migration as the original's scripts have them. To be sourced; $here is the folder of
# these scripts. VTPM_MIGRATOR_OPTIONS are options for vtpm_migrator, separated by spaces.
#
#   step 0   is migration supported? prints 0
#   step 1   the domain still runs: the destination's key, and a place there
#   step 2   it is suspended: the state goes there
#   step 3   it runs there: the destination takes over

# shellcheck source=hotplug/vtpm-common.sh
. "$here/vtpm-common.sh"

# A name is always an argument of its own, whatever is in it.
migrator() {
	# shellcheck disable=SC2086 # options
	vtpm_migrator --run-dir "$VTPM_RUN_DIR" --state-dir "$VTPM_STATE_DIR" \
		${VTPM_MIGRATOR_OPTIONS-} "$@"
}

# domain_vtpms NAME: the uuids of the domain's vTPMs
domain_vtpms() {
	uuids=$(vtpmdb_uuids "$1")
	[ -n "$uuids" ] || fatal "no vTPM of a domain named $1 in $VTPMDB; 'vtpmctl list' shows all"
	echo "$uuids"
}

# vtpm_migrate STEP HOST NAME
vtpm_migrate() {
	if [ "$1" = 0 ]; then
		migrator -- "$2" "$3" 0 0
		return
	fi
	vtpms=$(domain_vtpms "$3")
	for uuid in $vtpms; do
		migrator -- "$2" "$3" "$uuid" "$1" || return
	done
}

# vtpm_recover HOST NAME: after a migration that failed in the middle. HOST may be empty, if nothing
# was offered to it that it would keep a place for.
vtpm_recover() {
	vtpms=$(domain_vtpms "$2")
	for uuid in $vtpms; do
		migrator ${1:+--host "$1"} --recover "$uuid" || return
	done
}
