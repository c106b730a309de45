import type { ProgramFacts } from '../facts.ts';

/** Programs that look at the network, speak over it, or set it. */
export const NETWORK_PROGRAMS: readonly ProgramFacts[] = [
  {
    names: 'ss',
    options: {
      writes: '-K --kill -D --diag',
      reads: '-F --filter -N --net',
      endless: '-E --events',
    },
    valued: '-f -A -F -D -N --family --query --socket',
  },
  { names: 'netstat', options: { endless: '-c --continuous' }, valued: '-A' },
  {
    names: 'ip',
    hasWordOptions: true,
    options: { reads: '=-b =-ba =-bat =-batc =-batch --batch', starts: '=-force' },
    valued: '-n -netns -family -f -l -loops -rc -rcvbuf',
    verbs: [
      { at: 0, means: { endless: 'monitor' } },
      {
        at: 1,
        abbreviates: true,
        safe: 'show list ls lst s sh sho l get g dev via to table from',
        means: {
          starts: 'exec',
          writes: 'add change replace delete set flush append prepend restore',
          endless: 'monitor',
        },
      },
    ],
  },
  {
    names: 'bridge tc',
    hasWordOptions: true,
    options: { reads: '=-b =-batch --batch', starts: '=-force' },
    verbs: [
      { at: 0, means: { endless: 'monitor', starts: 'exec' } },
      { at: 1, safe: 'show list ls', means: { writes: 'add change replace del delete set append' } },
    ],
  },
  {
    names: 'ifconfig route iwconfig ethtool brctl arp vconfig',
    at: { from: 1, harm: 'changes' },
    options: {
      writes: '-s -K -G -C -A -L -E -f -U -N -X -W --change --features --flash --set-ring --coalesce',
    },
    complete: '-a -n -an -i -S -k -g -c -l',
  },
  { names: 'ifup ifdown dhclient dhcpcd wg-quick wpa_cli nmcli nmtui', does: 'starts' },
  {
    names: 'iptables ip6tables ebtables arptables',
    options: {
      writes:
        '-A --append -D --delete -I --insert -R --replace -F --flush -X --delete-chain -P --policy -Z --zero -N --new-chain -E --rename-chain -C --check --modprobe -M',
    },
    valued: '-t --table -w --wait',
    complete: '--list --list-rules --numeric --line-numbers --verbose --exact',
  },
  { names: 'iptables-save ip6tables-save', options: { writes: '-f --file', starts: '-M --modprobe' } },
  { names: 'iptables-restore ip6tables-restore ipset-restore', does: 'writes' },
  {
    names: 'nft ipset ufw firewall-cmd',
    options: { reads: '-f --file -D --define -I --includepath', starts: '-i --interactive' },
    verbs: [{ at: 0, safe: 'list status version show', means: { endless: 'monitor' }, other: 'changes' }],
  },
  {
    names: 'curl',
    options: {
      writes:
        '-o --output -O --remote-name --remote-name-all -J --remote-header-name --output-dir --create-dirs -D --dump-header -c --cookie-jar --trace --trace-ascii --stderr --hsts --alt-svc --etag-save --libcurl',
      reads:
        '-K --config -F --form -T --upload-file -b --cookie -n --netrc --netrc-file --netrc-optional -E --cert --key --unix-socket --abstract-unix-socket --variable --next -: --data-urlencode ~@* ~-d@* ~-H@* ~-w@* [fF][iI][lL][eE]:* [sS][cC][pP]:* [sS][fF][tT][pP]:* [gG][oO][pP][hH][eE][rR]:* [dD][iI][cC][tT]:*',
      starts: '--engine --proto-redir --ssl-sessions',
    },
    valued:
      '-o -D -c -K -F -T -b -E -d -H -w -X -A -e -u -U -m -x -y -Y -r -t -z -C -Q -P --output --data --data-raw --data-binary --header --write-out --request --user-agent --referer --user --max-time --connect-timeout --retry --retry-delay --resolve --interface --proxy --range --url --cacert --capath --limit-rate --max-filesize --max-redirs',
    complete:
      '--retry --http1.1 --http2 --include --insecure --ipv4 --ipv6 --location --head --fail --silent --show-error --compressed --data-raw --max-time --connect-timeout --proto --progress-bar --no-progress-meter',
  },
  {
    names: 'wget wget2',
    does: 'writes',
    unless: '--spider',
    options: {
      starts: '--use-askpass -e --execute',
      reads:
        '-i --input-file --post-file --body-file --config --load-cookies --private-key --certificate ~[fF][iI][lL][eE]:*',
    },
    valued: '-O -o -a -t -T -w -Q -P -U --output-document --timeout --tries --user-agent --header',
  },
  { names: 'aria2c axel rclone s3cmd aws gsutil gcloud az', does: 'writes' },
  {
    names: 'tcpdump',
    does: 'endless',
    unless: '-c',
    options: { starts: '-z', writes: '-w', reads: '-F -r -V' },
    valued: '-c -i -s -C -G -W -w -r -F -z -y -E -m -M -B -j -Z',
  },
  {
    names: 'tshark dumpcap',
    does: 'endless',
    unless: '-c -a',
    options: { starts: '-X', writes: '-w --export-objects', reads: '-r' },
    valued: '-i -c -f -Y -T -e -s -a',
  },
  {
    names: 'nmap',
    hasWordOptions: true,
    options: {
      starts: '--script --script-args --script-args-file --datadir --servicedb --versiondb =-sC =-A',
      writes: '=-oN =-oX =-oG =-oA =-oS --append-output',
      reads: '=-iL --excludefile --resume',
    },
    valued: '-p -oN -oX -oG -oA -iL --exclude --top-ports',
    complete: '--exclude',
  },
  { names: 'masscan zmap hping3 arping', does: 'writes' },
  {
    names: 'ping ping6 fping',
    does: 'endless',
    unless: '-c --count',
    options: { reads: '-F' },
    valued: '-c -i -I -W -w -s -t -Q -M -p -l --count --interval',
  },
  {
    names: 'mtr',
    does: 'endless',
    unless: '-r --report -c',
    options: { reads: '-F --filename' },
    valued: '-c -i',
  },
  { names: 'traceroute traceroute6 tracepath tracepath6', valued: '-m -q -w -i -s -p -f' },
  {
    names: 'dig delv',
    options: { reads: '-f -k' },
    valued: '-t -c -p -b -q -x -y -f -k',
  },
  { names: 'host nslookup whois', valued: '-t -c -W -R -N -h -p' },
  {
    names: 'openssl',
    hasWordOptions: true,
    options: {
      starts: '=-engine =-provider =-provider-path =-provider_path =-config',
      writes: '=-out =-writerand =-keyout =-sess_out =-CAserial',
    },
    verbs: [
      {
        at: 0,
        safe: 'version x509 s_client verify ciphers dgst crl ocsp asn1parse list help',
        means: { starts: 's_server engine', writes: 'req ca genrsa genpkey rand' },
        other: 'reads',
      },
    ],
    valued:
      '-in -connect -servername -CAfile -CApath -checkend -cert -untrusted -starttls -verify -purpose -inform -outform -nameopt -proto -host -port -alpn -checkhost',
  },
  {
    names: 'gpg gpg2 gpgv',
    options: {
      starts:
        '--photo-viewer --agent-program --dirmngr-program --keyserver-options --exec-path --options --homedir',
      writes: '-o --output --import --gen-key --delete-keys -e --encrypt -s --sign',
      reads: '-d --decrypt',
    },
    complete: '--import-options --list-keys',
  },
];
