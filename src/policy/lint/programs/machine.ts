import type { ProgramFacts } from '../facts.ts';

/** Programs that show and set the machine: processes, clock, kernel, packages. */
export const MACHINE_PROGRAMS: readonly ProgramFacts[] = [
  {
    // Without a dash its "e" prints the environments of processes.
    names: 'ps',
    options: { reads: '.e' },
    valued:
      '-o -O -p -q -u -U -g -G -C -t -s --format --pid --ppid --user --User --group --sort --tty --quick-pid --cols --width --lines .o .O .p .q .t .U .k',
  },
  {
    names: 'top',
    does: 'endless',
    unless: '-n',
    valued: '-n -d -p -u -U -o -w -E -e',
    complete: '-b',
  },
  { names: 'htop btop atop iotop nmon glances iftop nethogs bmon', does: 'endless' },
  { names: 'free', options: { endless: '-s --seconds' }, valued: '-s -c --seconds --count' },
  {
    names: 'vmstat iostat mpstat pidstat nfsiostat cifsiostat',
    repeatsByNumber: true,
    valued: '-S -p -u -P',
  },
  {
    names: 'sar sadf',
    options: { writes: '-o', reads: '-f' },
    repeatsByNumber: true,
    valued: '-n -s -e -i -P -u',
  },
  { names: 'dstat', does: 'endless', options: { writes: '--output' } },
  { names: 'yes', does: 'endless' },
  {
    names: 'date',
    // The value of -I is attached, or there is none.
    complete: '-I -Is -Ins -Iseconds -Iminutes -Ihours -Idate',
    options: { writes: '-s --set [0-9]*', reads: '-f --file' },
    valued: '-d -r -s -f --date --reference --set --file --rfc-3339 --iso-8601',
  },
  { names: 'hwclock', does: 'changes', unless: '-r --show --get' },
  {
    names: 'hostname domainname nisdomainname ypdomainname dnsdomainname',
    options: { reads: '-F --file' },
    at: { from: 0, harm: 'writes' },
  },
  {
    names: 'dmesg',
    options: {
      endless: '-w --follow -W --follow-new',
      writes: '-c --read-clear -C --clear -n --console-level -D --console-off -E --console-on',
      reads: '-F --file -K --kmsg-file',
    },
    valued: '-l -f -s --level --facility --since --until --time-format --buffer-size --color',
  },
  {
    names: 'sysctl',
    options: { writes: '-w --write -p --load --system ~*=*', reads: '-r' },
    complete: '--pattern',
  },
  { names: 'getent', verbs: [{ at: 0, means: { reads: 'shadow gshadow' } }], valued: '-s --service' },
  {
    names: 'last lastb who lastlog faillog utmpdump',
    options: { reads: '-f --file', writes: '-r --reset -o --output' },
    valued: '-n -s -t -p -u -b --limit --since --until',
    paths: { from: 0, shows: 'names' },
  },
  {
    names: 'dmidecode',
    options: { writes: '--dump-bin', reads: '--from-dump -d --dev-mem' },
    valued: '-s -t',
  },
  {
    names: 'lsblk findmnt blkid',
    options: { reads: '--sysroot -F --tab-file -c --cache-file', endless: '-p --poll' },
    complete: '--paths --fs --pairs',
    valued: '-o --output -t --types -O -T --target -S --source -N -M',
  },
  {
    names: 'udevadm',
    verbs: [
      {
        at: 0,
        safe: 'info settle verify',
        means: { endless: 'monitor' },
        other: 'changes',
        abbreviates: false,
      },
    ],
  },
  { names: 'smartctl', options: { writes: '-s --smart -t --test -X -o -S --set' }, valued: '-d -l -n' },
  {
    names: 'apt apt-get aptitude',
    options: { starts: '-o --option -c --config-file' },
    verbs: [
      {
        at: 0,
        safe: 'list show policy search showsrc depends rdepends madison why why-not versions',
        means: {},
        other: 'starts',
      },
    ],
  },
  {
    names: 'apt-cache apt-mark apt-config',
    options: { starts: '-o --option -c --config-file', reads: '-p --pkg-cache' },
    verbs: [
      {
        at: 0,
        safe: 'show showpkg policy search depends rdepends madison stats pkgnames showhold showmanual showauto dump',
        means: {},
        other: 'changes',
      },
    ],
  },
  {
    names: 'dpkg',
    options: {
      starts:
        '-i --install -r --remove -P --purge --configure --unpack --triggers-only --pre-invoke --post-invoke --root --instdir --admindir',
      writes: '-x --extract -X --vextract -e --control -b --build --set-selections --clear-selections',
    },
    complete: '--print-architecture --print-avail',
  },
  {
    names: 'dpkg-query',
    options: { reads: '--admindir --root -c --control-path --control-show' },
    valued: '-f --showformat',
  },
  {
    names: 'rpm',
    options: {
      starts:
        '=-i =-ivh =-e -U -F --install --upgrade --freshen --erase --eval -E --pipe --define -D --macros --rcfile --load --reinstall --import --initdb --rebuilddb --root -r',
    },
    valued: '--qf --queryformat',
  },
  {
    names: 'yum dnf microdnf zypper pacman apk snap flatpak brew opkg',
    options: { starts: '--installroot --root -c --config --setopt -S -U -R' },
    verbs: [
      {
        at: 0,
        safe: 'list info search history check-update repolist repoquery updateinfo provides version warnings changes',
        means: {},
        other: 'starts',
      },
    ],
  },
  {
    names: 'git',
    options: {
      starts:
        '-c --config-env --exec-path --upload-pack --receive-pack --upload-archive --exec -O --open-files-in-pager --ext-diff --textconv -x --extcmd',
      writes: '-o --output --output-directory --git-dir --work-tree --separate-git-dir',
      reads: '--no-index --contents -F --pathspec-from-file -S',
    },
    valued:
      '-C -n --max-count --since --until --after --before --author --grep --format --pretty -U -L -G --date',
    complete: '--exclude --exit-code --oneline --no-color --no-pager --no-merges --text --graph',
    verbs: [
      {
        at: 0,
        safe: 'status log show diff rev-parse rev-list describe ls-files ls-tree blame annotate shortlog cat-file name-rev for-each-ref merge-base show-ref show-branch version help count-objects grep diff-tree diff-index diff-files whatchanged check-ignore check-attr var',
        means: {},
        other: 'starts',
      },
    ],
  },
  { names: 'svn hg bzr cvs', does: 'starts' },
  {
    // Nothing that harms, whatever the arguments.
    names:
      'echo printf true false sleep uptime uname arch nproc id whoami w users groups tty lscpu lsmem lsmod lspci lsusb lsipc lsns lslocks lslogins pgrep pidof pstree pmap pwdx hostid locale cal seq numfmt logname expr factor printenv getconf ipcs runlevel systemd-detect-virt tput nvidia-smi sensors lshw mdstat numastat jps',
  },
];
