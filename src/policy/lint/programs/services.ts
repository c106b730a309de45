import type { ProgramFacts } from '../facts.ts';

const DOCKER_GROUPS =
  'container image system volume network node service stack context compose buildx plugin';

/** Programs that talk to a service: init, logs, containers, databases, web servers. */
export const SERVICE_PROGRAMS: readonly ProgramFacts[] = [
  {
    names: 'systemctl',
    options: { starts: '-H --host -M --machine --root --image', endless: '-f --follow' },
    complete: '--failed --force --full --no-pager',
    valued: '-n -o -t -p -P --lines --output --type --state --property --job-mode --signal -s --kill-whom',
    verbs: [
      {
        at: 0,
        safe: 'status show cat help is-active is-enabled is-failed is-system-running list-units list-unit-files list-timers list-sockets list-jobs list-dependencies list-machines list-paths list-automounts get-default show-environment whoami',
        means: {
          starts:
            'edit link enable reenable preset preset-all set-environment import-environment unset-environment switch-root kexec bind mount-image service-log-level',
        },
        other: 'changes',
      },
    ],
    guarded:
      'debug-shell.service emergency.target rescue.target reboot.target poweroff.target ssh.service sshd.service dbus.service multi-user.target fanout.service',
  },
  { names: 'service rc-service invoke-rc.d', does: 'changes', unless: '--status-all' },
  { names: 'update-rc.d chkconfig rc-update', does: 'starts' },
  {
    names: 'journalctl',
    options: {
      writes:
        '--vacuum-size --vacuum-time --vacuum-files --rotate --flush --sync --relinquish-var --smart-relinquish-var --setup-keys --cursor-file --update-catalog',
      reads: '-D --directory --file -i --root --image -M --machine',
      endless: '-f --follow',
      terminal: '-a --all',
    },
    complete:
      '--cursor --force --full --after-cursor --boot --dmesg --disk-usage --facility --field --fields --system --reverse --merge --since --show-cursor',
    valued:
      '-u -n -S -U -p -o -t -T -g -F -c -D -M -i --unit --user-unit --lines --since --until --priority --output --identifier --grep --field --facility --cursor --after-cursor --output-fields --case-sensitive --namespace',
  },
  {
    names:
      'loginctl timedatectl hostnamectl localectl networkctl resolvectl bootctl portablectl homectl userdbctl oomctl',
    options: { starts: '-H --host -M --machine', endless: '--follow', terminal: '-a --all' },
    valued: '-n -p -o --lines --property --output',
    verbs: [
      {
        at: 0,
        safe: 'status show list list-sessions list-users list-seats session-status user-status show-session show-user list-timezones timesync-status show-timesync query statistics dns domain lldp service list-locales list-keymaps is-installed user group',
        means: { endless: 'monitor' },
        other: 'changes',
      },
    ],
  },
  {
    names: 'machinectl busctl dbus-send gdbus qdbus coredumpctl varlinkctl',
    options: { starts: '-H --host -M --machine' },
    verbs: [
      {
        at: 0,
        safe: 'list status show info tree introspect list-images image-status',
        means: { endless: 'monitor capture' },
        other: 'starts',
      },
    ],
  },
  {
    names: 'systemd-analyze',
    options: { starts: '-H --host -M --machine' },
    verbs: [
      {
        at: 0,
        safe: 'time blame critical-chain plot dot unit-paths calendar timespan timestamp security verify condition cat-config syscall-filter exit-status capability',
        means: {},
        other: 'changes',
      },
    ],
  },
  {
    names: 'docker podman nerdctl',
    options: { starts: '-H --host --context --config --connection --url -l', endless: '-f --follow' },
    complete: '--filter --format --latest --no-stream --no-trunc --all --last',
    valued: '-n --tail --since --until --format --filter --last --timestamps',
    verbs: [
      {
        at: 0,
        safe: `ps images version info top logs port history search diff ls stats ${DOCKER_GROUPS}`,
        means: { endless: 'events attach wait', reads: 'inspect' },
        other: 'starts',
      },
      {
        at: 1,
        under: DOCKER_GROUPS,
        safe: 'ls list ps df info top logs port history diff stats images version show',
        means: { endless: 'events attach', reads: 'inspect config' },
        other: 'starts',
      },
    ],
  },
  {
    names: 'ctr crictl runc crun lxc lxc-attach incus kubeadm k3s oc',
    verbs: [
      {
        at: 0,
        safe: 'ps images version info stats pods list ls state logs',
        means: { reads: 'inspect inspectp inspecti' },
        other: 'starts',
      },
    ],
  },
  {
    names: 'kubectl',
    options: {
      starts: '--kubeconfig --cluster --server -s --as --context',
      endless: '-f --follow -w --watch --watch-only',
      reads: '--raw --filename -k --kustomize',
    },
    complete: '--all-namespaces --all-containers --selector',
    valued:
      '-n -o -l -c --namespace --output --selector --container --tail --since --sort-by --field-selector',
    verbs: [
      {
        at: 0,
        safe: 'get describe logs top version cluster-info api-resources api-versions explain events',
        means: {},
        other: 'starts',
      },
      { at: 1, under: 'get describe', means: { reads: 'secret secrets secret/*' } },
    ],
  },
  {
    names: 'helm nomad consul vault etcdctl serf',
    options: { starts: '--kubeconfig --post-renderer' },
    verbs: [
      {
        at: 0,
        safe: 'list ls status history version members info node job',
        means: { endless: 'monitor' },
        other: 'starts',
      },
    ],
  },
  {
    names: 'nginx openresty',
    options: { starts: '-g -c -p -e', changes: '-s', reads: '-T' },
    does: 'changes',
    unless: '-t -v -V -T -h',
    valued: '-g -c -p -s -e',
  },
  {
    names: 'apachectl apache2ctl httpd apache2 haproxy',
    options: { starts: '-f -C -c -d -k -D' },
    does: 'changes',
    unless: '-t -v -V -S -M configtest status -vv',
  },
  {
    names: 'psql',
    options: {
      starts: '-f --file -v --set --variable -o --output -L --log-file',
    },
    valued: '-c -d -h -p -U -F -R -P --command --dbname --host --port --username',
    code: { after: '-c --command', safe: /^(?!.*(?:pg_|lo_|into|dblink|copy))(?:select|show) [^;\\]*;?$/i },
    complete: '--list --version --no-psqlrc --no-password --tuples-only --no-align',
  },
  {
    names: 'mysql mariadb',
    options: {
      starts:
        '--pager --tee --init-command --defaults-file --defaults-extra-file --plugin-dir --local-infile',
      reads: '--login-path',
    },
    valued: '-e -h -P -u -D -S --execute --host --port --user --database',
    code: { after: '-e --execute', safe: /^(?!.*(?:into|load_file|sleep))(?:select|show) [^;\\]*;?$/i },
    complete: '--protocol --password --port --table --silent',
  },
  { names: 'mongo mongosh cqlsh influx', does: 'starts' },
  {
    names: 'pg_dump pg_dumpall mysqldump mariadb-dump pg_basebackup',
    options: { writes: '-f --file -r --result-file -T --tab -D --pgdata', starts: '--compress -t --target' },
  },
  {
    names: 'redis-cli valkey-cli',
    options: {
      reads: '--eval -x -X --pipe',
      writes: '--rdb --functions-rdb',
      endless: '-i --stat --latency -r',
    },
    valued: '-h -p -n -s --user',
    verbs: [
      {
        at: 0,
        safe: 'info INFO ping PING dbsize DBSIZE time TIME role ROLE lastsave LASTSAVE',
        means: { endless: 'monitor MONITOR subscribe SUBSCRIBE psubscribe PSUBSCRIBE' },
        other: 'changes',
      },
    ],
  },
  {
    names:
      'mysqladmin pg_ctl pg_ctlcluster pg_isready rabbitmqctl supervisorctl pm2 fail2ban-client monit varnishadm',
    verbs: [
      {
        at: 0,
        safe: 'status ping version processlist extended-status list list_queues list_users cluster_status node_health_check show summary jlist',
        means: { starts: 'eval exec', endless: 'tail logs' },
        other: 'changes',
      },
    ],
  },
  { names: 'jcmd jmap jstack jinfo jstat jdb', does: 'changes', unless: '-l' },
];
