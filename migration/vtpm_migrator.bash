# bash completion for vtpm_migrator(8): options, domains, and the TPMs that there are.

_vtpm_migrator_domains() {
	xl list 2>/dev/null | awk 'NR > 1 && $2 != 0 { print $1 }'
}

_vtpm_migrator_vtpms() {
	vtpmctl "$@" list 2>/dev/null | grep -oE '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}'
}

_vtpm_migrator() {
	local cur prev words cword
	_init_completion || return

	local i run_dir=() alone=""
	for ((i = 1; i < cword; i++)); do
		case ${words[i]} in
		--run-dir) run_dir=(--run-dir "${words[i + 1]}") ;;
		--no-domain) alone=1 ;;
		esac
	done
	case $prev in
	--run-dir | --state-dir)
		_filedir -d
		return
		;;
	--ca | --cert | --key | --xl | --require-pcrs)
		_filedir
		return
		;;
	--host | --xl-host | --all)
		_known_hosts_real -- "$cur"
		return
		;;
	--recover | --no-domain)
		mapfile -t COMPREPLY < <(compgen -W "$(_vtpm_migrator_vtpms "${run_dir[@]}")" -- "$cur")
		return
		;;
	--ssh-command | --address | --name | --timeout | --xl-option) return ;;
	esac

	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "--run-dir --state-dir --ca --cert --key --ssh \
			--ssh-command --address --name --host --timeout --require-pcrs --no-domain --all --recover --force \
			--xl-option --xl-host --xl --json --help --version" -- "$cur")
	elif [[ $prev == -* || $cword -eq 1 ]] && [[ -z $alone ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_vtpm_migrator_domains)" -- "$cur")
	else
		_known_hosts_real -- "$cur"
	fi
}
complete -F _vtpm_migrator vtpm_migrator
