import { spawnSync } from 'node:child_process';
import { mkdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where ip-netns(8) looks for files that a namespace has in place of those in /etc. */
const HOSTS = '/etc/netns';

/** Machines with a network of their own between them, where this system gives such: root, and the kernel's namespaces. */
export class Link {
  /** Names of the two namespaces. */
  readonly names: readonly [string, string];

  private constructor(names: readonly [string, string]) {
    this.names = names;
  }

  /** Two namespaces, 10.99.0.1 and 10.99.0.2 on `eth0`, with multicast. Undefined, and said, where that is not possible. */
  static make(label: string): Link | undefined {
    const names = [`fx${process.pid}${label}a`, `fx${process.pid}${label}b`] as const;
    const link = new Link(names);
    const [a, b] = names;
    const done =
      names.every((name) => ip('netns', 'add', name)) &&
      ip('link', 'add', 'eth0', 'netns', a, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', b) &&
      names.every(
        (name, i) =>
          ip('-n', name, 'link', 'set', 'lo', 'up') &&
          ip('-n', name, 'link', 'set', 'eth0', 'up') &&
          ip('-n', name, 'addr', 'add', `10.99.0.${i + 1}/24`, 'dev', 'eth0') &&
          ip('-n', name, 'addr', 'add', `fd99::${i + 1}/64`, 'dev', 'eth0', 'nodad') &&
          // What names no interface goes where the default route goes, as the real Serf does.
          ip('-n', name, 'route', 'add', 'default', 'dev', 'eth0'),
      );
    if (done) return link;
    link.remove();
    process.stderr.write(
      'SKIPPED: tests in network namespaces. They need root, iproute2 and CAP_SYS_ADMIN\n',
    );
    return undefined;
  }

  /** A program and its arguments, to run in the first or second namespace. */
  inside(which: 0 | 1, file: string, args: readonly string[]): [string, string[]] {
    return ['ip', ['netns', 'exec', this.names[which], file, ...args]];
  }

  /** Names of machines, for programs in the first or second namespace alone: they see this as their /etc/hosts. */
  hosts(which: 0 | 1, lines: readonly string[]): void {
    const folder = join(HOSTS, this.names[which]);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'hosts'), `${lines.join('\n')}\n`);
  }

  remove(): void {
    for (const name of this.names) {
      ip('netns', 'del', name);
      rmSync(join(HOSTS, name), { recursive: true, force: true });
    }
    try {
      rmdirSync(HOSTS);
    } catch {
      // It was never made, or others have files there.
    }
  }
}

function ip(...args: string[]): boolean {
  return spawnSync('ip', args, { stdio: 'ignore' }).status === 0;
}
