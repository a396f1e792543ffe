# shellcheck shell=bash
vm_remove_disk() { :; }
