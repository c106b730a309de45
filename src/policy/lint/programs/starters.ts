import type { ProgramFacts } from '../facts.ts';

/** Programs whose purpose is to run something else, or that can always be brought to it. */
export const STARTERS: readonly ProgramFacts[] = [
  {
    // Shells.
    names:
      'sh ash bash rbash dash zsh ksh ksh93 mksh pdksh fish csh tcsh busybox toybox pwsh elvish nu xonsh rc es',
    does: 'starts',
  },
  {
    // Languages, and tools that are one.
    names:
      'python* pypy* ipython* perl* ruby* irb erb node nodejs deno bun php* lua* luajit* tclsh* wish* expect guile* racket sbcl clisp ecl ghci ghc runghc Rscript R julia octave* java jshell jrunscript groovy scala kotlin erl iex elixir ocaml swipl gawk mawk nawk awk original-awk gnuplot dc m4 emacs* gforth pry',
    does: 'starts',
  },
  {
    // Builders and installers, which run scripts of what they build.
    names:
      'make gmake cmake ctest ninja rake gradle mvn ant bazel scons just npm npx yarn pnpm corepack pip* pipx uv uvx gem bundle bundler cargo go rustc composer gcc* g++* cc c++ clang* tox poetry conda dpkg-buildpackage rpmbuild debuild configure',
    does: 'starts',
  },
  {
    // Launchers.
    names:
      'env xargs parallel nice ionice chrt taskset nohup timeout setsid stdbuf unbuffer watch time flock strace ltrace perf gdb lldb valgrind script screen tmux byobu dtach abduco chroot unshare nsenter setpriv setarch linux32 linux64 uname26 runuser su sudo sudoedit doas pkexec sg newgrp systemd-run systemd-nspawn systemd-inhibit systemd-cat at batch run-parts start-stop-daemon daemonize runcon chpst softlimit setuidgid envdir cgexec prlimit numactl proot fakeroot fakechroot bwrap firejail capsh eatmydata faketime entr xvfb-run dbus-run-session dbus-launch ssh-agent ld.so ld-linux* logrotate anacron cron crond fanout choom catchsegv chronic ifne pee vipe incrond',
    does: 'starts',
  },
  {
    // To other machines, and what runs things on them.
    names:
      'ssh autossh mosh scp sftp sshpass rsh rlogin rexec lftp ftp socat nc ncat netcat nc.* ansible* salt* puppet chef-client chef-solo terraform tofu vagrant packer pdsh clush pssh parallel-ssh fab virsh multipass certbot',
    does: 'starts',
  },
  {
    // Editors, pagers, readers of pages: each has a way to a shell.
    names:
      'vi vim* nvim view vimdiff rvim ex ed red nano rnano pico joe jed mcedit mc micro helix hx kak less more most pg man info lynx w3m links elinks mutt neomutt mail mailx s-nail vipw vigr visudo dialog whiptail',
    does: 'starts',
  },
  { names: 'crontab', does: 'starts', unless: '=-l', valued: '-u' },
  { names: 'modprobe insmod rmmod kmod depmod', does: 'starts' },
  { names: 'mount mount.* umount fusermount* losetup swapon swapoff cryptsetup', does: 'starts' },
  { names: 'reboot shutdown halt poweroff init telinit kexec', does: 'changes' },
  { names: 'kill pkill killall killall5 skill snice renice fuser', does: 'changes' },
  { names: 'logger wall write mesg', does: 'changes' },
];
