# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
# Completion of xdock(8) in bash: commands, verbs, options, containers, interfaces, namespaces.

# The names of the containers; none if the instance is not up.
_xdock_containers() {
	xdock "$@" -j container list 2>/dev/null | sed -n 's/^ *"name": "\(.*\)",*$/\1/p'
}

# The base names of files, without those that do not exist.
_xdock_names() {
	local file

	for file; do
		[[ -e $file ]] && echo "${file##*/}"
	done
}

_xdock_bridges() {
	local file

	for file in /sys/class/net/*/bridge; do
		_xdock_names "${file%/bridge}"
	done
}

_xdock() {
	local commands='up down run container port flow status check stats drops help version'
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local netns=() command='' verb='' names=0 choices='' i

	# What is in front of the cursor: the command, its verb, how many names behind it.
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--)
			compopt -o default
			((COMP_CWORD == i + 1)) && mapfile -t COMPREPLY < <(compgen -c -- "$word")
			return
			;;
		-N | --netns)
			((i++))
			[[ $command ]] || netns=(-N "${COMP_WORDS[i]}")
			;;
		--subnet | --uplink | --mtu | --hook | --max-ports | --name | --bridge | --ip | --pid) ((i++)) ;;
		--icc | --masquerade | --gateway-mode | --source-check) ((i++)) ;;
		--limit | --allow | --deny) ((i++)) ;;
		--max-flows | --max-exceptions | --max-fragments | --container | --sample) ((i++)) ;;
		-p | --publish) ((i++)) ;;
		-*) ;;
		*)
			if [[ ! $command ]]; then
				command=${COMP_WORDS[i]}
			elif [[ $command == @(container|port|flow) && ! $verb ]]; then
				verb=${COMP_WORDS[i]}
			else
				((names++))
			fi
			;;
		esac
	done

	case $previous in
	-N | --netns) choices=$(_xdock_names /run/netns/*) ;;
	--uplink) choices=$(_xdock_names /sys/class/net/*) ;;
	--bridge) choices=$(_xdock_bridges) ;;
	--icc | --masquerade | --source-check) choices='on off' ;;
	--hook) choices='auto tc xdp xdp-generic' ;;
	--gateway-mode) choices='nat nat-unprotected routed' ;;
	--container) choices=$(_xdock_containers "${netns[@]}") ;;
	--subnet | --mtu | --max-* | --name | --ip | --pid | --sample | -p | --publish) ;;
	--limit | --allow | --deny) ;;
	*)
		case "$command $verb" in
		' ')
			choices=$commands
			[[ $word == -* ]] &&
				choices='--netns --json --dry-run --verbose --help --version'
			;;
		'up ')
			choices='--subnet --uplink --mtu --hook --icc --internal --masquerade --gateway-mode
				--source-check --max-ports --max-flows --max-exceptions --max-fragments'
			[[ $word == -* ]] || choices=$(_xdock_bridges)
			;;
		'down ') choices=$(_xdock_bridges) ;;
		'run ') choices='--name --bridge --ip --publish --' ;;
		'help ') choices=$commands ;;
		'container ') choices='add rm list exec' ;;
		'port ') choices='add rm list' ;;
		'flow ') choices='list flush' ;;
		'flow list') choices='--container --sample' ;;
		'flow flush') choices='--container' ;;
		'container add') choices='--netns --pid --bridge --ip --publish' ;;
		'container rm') choices=$(_xdock_containers "${netns[@]}") ;;
		'port add')
			choices='--limit --allow --deny'
			((names)) || [[ $word == -* ]] || choices=$(_xdock_containers "${netns[@]}")
			;;
		'container exec')
			((names)) || choices=$(_xdock_containers "${netns[@]}")
			;;
		esac
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$word")
}

complete -F _xdock xdock
