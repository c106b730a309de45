import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { codeOf } from '../lib/errors.ts';
import type { Refusal } from './refusal.ts';

/** What control groups are used for here. */
export type Controller = 'memory' | 'pids' | 'cpu';

/** A folder below which this agent makes a group for a command. */
export interface Hierarchy {
  readonly version: 1 | 2;
  readonly folder: string;
}

/** Where groups can be made, by what they are for. Plain data: it travels in the description of a command. */
export type GroupHome = Readonly<Partial<Record<Controller, Hierarchy>>>;

/** The home of the groups, and why something is missing in it. */
export interface FoundGroups {
  readonly home: GroupHome;
  readonly missing: Readonly<Partial<Record<Controller, Refusal>>>;
}

/** Names of the controllers in version 1 and, where it takes one, in version 2, which counts processor time without. */
const V1_NAMES: Readonly<Record<Controller, string>> = { memory: 'memory', pids: 'pids', cpu: 'cpuacct' };
const V2_CONTROLLERS: readonly Controller[] = ['memory', 'pids'];
/** Version 2 has processes only in the leaves, so the agent itself moves into one of this name. */
const AGENT_LEAF = 'agent';

const DELEGATE_HINT =
  'Give the agent a part of the tree: Delegate=yes in its systemd unit, or run it as root where /sys/fs/cgroup can be written.';

/** The texts that say which hierarchies there are and where this process is in them. */
export interface GroupTexts {
  /** /proc/self/cgroup */
  readonly own: string;
  /** /proc/self/mountinfo */
  readonly mounts: string;
}

/**
 * Finds where this agent may make control groups: always below its own, so that a command never leaves the bounds that
 * were set for the agent. In version 2 the agent moves into a leaf of its own, when it is alone where it is.
 */
export function findGroups(texts = systemTexts()): FoundGroups {
  const home: Partial<Record<Controller, Hierarchy>> = {};
  const missing: Partial<Record<Controller, Refusal>> = {};
  const unified = unifiedFolder(texts);
  const ready = unified === undefined ? undefined : prepareUnified(unified, V2_CONTROLLERS);
  for (const controller of ['memory', 'pids', 'cpu'] as const) {
    const found = v1Folder(texts, controller);
    if (found !== undefined) {
      const problem = trial(found);
      if (problem === undefined) home[controller] = { version: 1, folder: found };
      else missing[controller] = problem;
    } else if (ready === undefined) {
      missing[controller] = {
        reason: `there is no ${V1_NAMES[controller]} controller of control groups`,
        hint: 'Mount them (mount -t cgroup2 none /sys/fs/cgroup), and in a container give it its own.',
      };
    } else if ('reason' in ready) {
      missing[controller] = ready;
    } else if (V2_CONTROLLERS.includes(controller) && !ready.enabled.includes(controller)) {
      missing[controller] = {
        reason: `the ${controller} controller is not handed down to ${ready.folder}`,
        hint: DELEGATE_HINT,
      };
    } else {
      home[controller] = { version: 2, folder: ready.folder };
    }
  }
  return { home, missing };
}

function systemTexts(): GroupTexts {
  return { own: readText('/proc/self/cgroup'), mounts: readText('/proc/self/mountinfo') };
}

/** The agent's folder in the hierarchy of a version 1 controller. */
function v1Folder(texts: GroupTexts, controller: Controller): string | undefined {
  for (const line of texts.own.split('\n')) {
    const [, names, ...path] = line.split(':');
    if (names?.split(',').includes(V1_NAMES[controller]) !== true) continue;
    const mount = mountsOf(texts.mounts).find(
      ({ kind, options }) => kind === 'cgroup' && options.includes(V1_NAMES[controller]),
    );
    return mount === undefined ? undefined : below(mount, path.join(':'));
  }
  return undefined;
}

function unifiedFolder(texts: GroupTexts): string | undefined {
  const path = /^0::(.*)$/m.exec(texts.own)?.[1];
  const mount = mountsOf(texts.mounts).find(({ kind }) => kind === 'cgroup2');
  return path === undefined || mount === undefined ? undefined : below(mount, path);
}

interface Mount {
  /** The part of the hierarchy that is mounted. */
  readonly root: string;
  readonly place: string;
  readonly kind: string;
  readonly options: readonly string[];
}

function mountsOf(text: string): Mount[] {
  return text.split('\n').flatMap((line) => {
    const [front = '', back = ''] = line.split(' - ');
    const [, , , root, place] = front.split(' ');
    const [kind = '', , options = ''] = back.split(' ');
    return root === undefined || place === undefined
      ? []
      : [{ root, place, kind, options: options.split(',') }];
  });
}

function below({ root, place }: Mount, path: string): string | undefined {
  if (root === '/') return join(place, path);
  // In a container only its own part is mounted.
  return path === root || path.startsWith(`${root}/`) ? join(place, path.slice(root.length)) : undefined;
}

/** Whether a group can be made there, found out by making one. */
function trial(folder: string): Refusal | undefined {
  const group = join(folder, `fanout-trial-${process.pid}`);
  try {
    mkdirSync(group);
    rmdirSync(group);
    return undefined;
  } catch (error) {
    return { reason: `no control group can be made in ${folder} (${codeOf(error)})`, hint: DELEGATE_HINT };
  }
}

/**
 * Makes a version 2 folder hand its controllers down. A process that is in it itself has to leave it first; `pid` is that
 * process. Where others are in it too, it is not ours: all stays as it was, and the reason is returned.
 */
export function prepareUnified(
  own: string,
  wanted: readonly string[],
  pid = process.pid,
): { readonly folder: string; readonly enabled: readonly string[] } | Refusal {
  const folder = basename(own) === AGENT_LEAF ? dirname(own) : own;
  const problem = trial(folder);
  if (problem !== undefined) return problem;
  const words = (name: string): string[] => readText(join(folder, name)).trim().split(' ');
  const enabled = (): string[] =>
    words('cgroup.subtree_control').filter((controller) => wanted.includes(controller));
  const lacking = words('cgroup.controllers').filter(
    (controller) => wanted.includes(controller) && !enabled().includes(controller),
  );
  if (lacking.length === 0) return { folder, enabled: enabled() };
  const leaf = join(folder, AGENT_LEAF);
  const isInside = folder === own;
  try {
    if (isInside) {
      if (!existsSync(leaf)) mkdirSync(leaf);
      writeFileSync(join(leaf, 'cgroup.procs'), String(pid));
    }
    writeFileSync(join(folder, 'cgroup.subtree_control'), lacking.map((name) => `+${name}`).join(' '));
    return { folder, enabled: enabled() };
  } catch (error) {
    if (isInside) moveBack(folder, leaf, pid);
    const others = codeOf(error) === 'EBUSY' ? ', because other processes are in it' : '';
    return {
      reason: `${folder} cannot hand down ${lacking.join(' and ')} (${codeOf(error)})${others}`,
      hint: DELEGATE_HINT,
    };
  }
}

function moveBack(folder: string, leaf: string, pid: number): void {
  try {
    writeFileSync(join(folder, 'cgroup.procs'), String(pid));
    rmdirSync(leaf);
  } catch {
    // Then it stays in the leaf, where the same bounds hold.
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
