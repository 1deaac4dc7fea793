#!/bin/sh
# Makes the files of deploy/secrets that compose.yaml hands to the containers. Files that are there already are kept.
#
# Usage: deploy/make-secrets.sh [FOLDER]     (then WAPSI_SECRETS=FOLDER for compose)
#
# The folder can be entered by you alone (0700), so the files in it can be 0444: each container gets single files, and
# must read them as a user of its own, who is neither you nor root.
set -eu
umask 077

folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 0700 "$folder"

random_hex() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

# keep NAME: writes standard input to the file, in one step, unless it is there.
keep() {
    if [ -s "$folder/$1" ]; then
        cat >/dev/null
        echo "kept  $folder/$1"
        return
    fi
    cat >"$folder/$1.new"
    chmod 0444 "$folder/$1.new"
    mv "$folder/$1.new" "$folder/$1"
    echo "made  $folder/$1"
}

random_hex | keep postgres_password
random_hex | keep wapsi_owner_password
random_hex | keep wapsi_app_password
# HMACs of tokens and fingerprints.
random_hex | keep wapsi_secret_key
# The seed of an Ed25519 key, 32 bytes in base64: signs access tokens and rate receipts.
head -c 32 /dev/urandom | base64 | tr -d '\n' | keep wapsi_signing_key

database=postgres:5432/wapsi
printf 'postgresql+asyncpg://wapsi_app:%s@%s' "$(cat "$folder/wapsi_app_password")" "$database" |
    keep wapsi_database_url
printf 'postgresql+asyncpg://wapsi_owner:%s@%s' "$(cat "$folder/wapsi_owner_password")" "$database" |
    keep wapsi_database_migration_url
