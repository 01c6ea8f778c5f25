# bash completion for vtpmctl(8): commands, their options, and the TPMs that there are.

_vtpmctl() {
	local cur prev words cword
	_init_completion || return

	local -A options=(
		[define]="--id --type --no-migrate --host-pcrs"
		[deep-quote]="--nonce --pcrs --out" [verify-quote]="--key --nonce --json"
		[open]="--startup"
		[list]="--json" [show]="--json" [status]="--json"
	)
	case $prev in
	--run-dir)
		_filedir -d
		return
		;;
	--out | --key)
		_filedir
		return
		;;
	--type)
		mapfile -t COMPREPLY < <(compgen -W "pvm hvm" -- "$cur")
		return
		;;
	--startup)
		mapfile -t COMPREPLY < <(compgen -W "clear save deactivated" -- "$cur")
		return
		;;
	esac

	local word command="" run_dir=()
	local i
	for ((i = 1; i < cword; i++)); do
		word=${words[i]}
		case $word in
		--run-dir) run_dir=(--run-dir "${words[++i]}") ;;
		-*) ;;
		*) command=${command:-$word} ;;
		esac
	done

	if [[ -z $command ]]; then
		mapfile -t COMPREPLY < <(compgen -W \
			"define open close suspend delete clear presence rollback list show status verify \
			recover reseal deep-quote verify-quote --run-dir --help --version" -- "$cur")
	elif [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "${options[$command]}" -- "$cur")
	elif [[ $command =~ ^(open|close|suspend|delete|clear|presence|rollback|show|verify|recover|deep-quote)$ ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(vtpmctl "${run_dir[@]}" list 2>/dev/null |
			grep -oE '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}')" -- "$cur")
	fi
}
complete -F _vtpmctl vtpmctl
