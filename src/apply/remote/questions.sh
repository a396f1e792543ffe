# shellcheck shell=sh
# Read by apply.sh: before the first change, the node's own firewall compiler is asked what the plan's model was asked.

QUESTIONS_WINDOW=60

# The simulator plays IPv4 and the rules of pve-firewall; `questions` has only what it can be asked. It ends a chain of
# PVE's with DROP where the kernel looks further and may reject, so only accepted or not accepted is compared.
ask_pve_firewall() {
    [ -s "$DIR/data/questions" ] || return 0
    ask_count=$(wc -l <"$DIR/data/questions")
    ask_release=$(timeout 20 pveversion 2>/dev/null </dev/null | head -c 200 | sed -n 's|^pve-manager/\([0-9]*\)\..*|\1|p')
    case $ask_release in
    8 | 9) ;;
    *)
        journal "note Proxmox VE's own firewall simulator is not asked: release ${ask_release:-unknown} may have another one"
        return 0
        ;;
    esac
    command -v perl >/dev/null || {
        journal "note Proxmox VE's own firewall simulator is not asked: there is no perl"
        return 0
    }
    ask_status=$(
        { { timeout -k 5 "$QUESTIONS_WINDOW" perl "$DIR/questions.pl" "$DIR/data" </dev/null 2>&3 9>&-; echo $? >&4; } |
            head -c 65536 >"$DIR/answers"; } 3>&1 4>"$DIR/answers.status" | head -c 4096 >"$DIR/answers.reasons"
        cat "$DIR/answers.status"
    )
    ask_reason=$(head -n 1 "$DIR/answers.reasons" | one_line)
    case $ask_status in
    0) compare_answers ;;
    4) refuse simulator "Proxmox VE's own firewall compiler does not take the planned files: $ask_reason" ;;
    3) journal "note Proxmox VE's own firewall simulator is not asked: $ask_reason" ;;
    124 | 137) journal "note Proxmox VE's own firewall simulator gave no answer within $QUESTIONS_WINDOW s" ;;
    *) journal "note Proxmox VE's own firewall simulator gave no answer: status ${ask_status:-none}, $ask_reason" ;;
    esac
}

compare_answers() {
    sed -e '/^ACCEPT$/b' -e '/^DROP$/b' -e '/^REJECT$/b' -e 's/.*/?/' "$DIR/answers" >"$DIR/answers.words"
    [ "$(wc -l <"$DIR/answers.words")" -eq "$ask_count" ] || {
        journal "note Proxmox VE's own firewall simulator did not answer every question: $ask_reason"
        return 0
    }
    paste -d ' ' "$DIR/answers.words" "$DIR/data/questions" >"$DIR/answers.all"
    ask_differs=$(while read -r ask_said ask_expected _ _ ask_protocol ask_source ask_destination ask_port; do
        case $ask_said/$ask_expected in
        '?'/* | ACCEPT/ACCEPT) ;;
        ACCEPT/* | */ACCEPT)
            echo "$ask_source to $ask_destination port $ask_port/$ask_protocol: it says $ask_said, the plan counts on $ask_expected"
            ;;
        esac
    done <"$DIR/answers.all")
    [ -z "$ask_differs" ] || refuse simulator "Proxmox VE's own firewall simulator disagrees with the plan on \
$(printf '%s\n' "$ask_differs" | wc -l) of $ask_count questions: $(printf '%s\n' "$ask_differs" | head -n 3 | sed '$!s/$/;/' | paste -s -d ' ' -)"
    ask_open=$(grep -c '^?' "$DIR/answers.words")
    ask_note="note Proxmox VE's own firewall simulator agrees with the plan on $((ask_count - ask_open)) of $ask_count questions"
    [ "$ask_open" -eq 0 ] || ask_note="$ask_note and cannot tell the others: $ask_reason"
    journal "$ask_note"
}
