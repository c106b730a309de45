import { FanoutError } from '../lib/errors.ts';
import type { SignalConfig } from './config.ts';
import type { Host } from './host.ts';
import type { Log, LogLevel } from './log.ts';
import { handlerSettings } from './settings/handlers.ts';
import type { LoadedSettings } from './settings/load.ts';
import { saidTags } from './settings/resolve.ts';
import type { Said } from './settings/schema.ts';
import { settingRows } from './settings/table.ts';

/** What SIGHUP may change while the agent runs. */
export interface LiveSettings {
  logLevel: LogLevel;
  signals: SignalConfig;
}

export interface ReloadParts {
  readonly agent: {
    readonly host: Host;
    /** Throws FanoutError, and changes nothing then. */
    changeTags(tags: ReadonlyMap<string, string>): void;
  };
  readonly live: LiveSettings;
  /** Reads the files again, flags included. Throws FanoutError. */
  readonly load: () => LoadedSettings;
  readonly log: Log;
}

/**
 * Reads the configuration and the policy again. What is broken is reported, and the old one stays in force as a whole;
 * what only a new start can change is named. Returns what is in force now.
 */
export function reload(parts: ReloadParts, before: Said): Said {
  const { agent, live, log } = parts;
  agent.host.reload();
  try {
    const { said, warnings } = parts.load();
    const { lines, warnings: doubts } = handlerSettings(said);
    const tags = saidTags(said);
    // Serf empties a tags file here. What was changed on the running agent is what the file is for.
    if (said.tags_file === undefined && !areSame(tags, agent.host.engine.localTags)) agent.changeTags(tags);
    agent.host.handlers.replaceLines(lines);
    live.logLevel = said.log_level ?? 'info';
    live.signals = {
      leaveOnTerminate: said.leave_on_terminate ?? false,
      skipLeaveOnInterrupt: said.skip_leave_on_interrupt ?? false,
    };
    for (const warning of [...warnings, ...doubts]) log.warn(warning);
    const waiting = changedAtStartOnly(before, said);
    if (waiting.length > 0) log.warn(`changed, and in force from the next start on: ${waiting.join(', ')}`);
    log.info('configuration reloaded');
    return said;
  } catch (error) {
    if (!(error instanceof FanoutError)) throw error;
    log.error(`the configuration was not reloaded, the old one stays in force: ${error.message}`);
    return before;
  }
}

function areSame(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([name, value]) => b.get(name) === value);
}

function changedAtStartOnly(before: Said, after: Said): string[] {
  const rows = settingRows().filter(({ reloads }) => reloads !== true);
  const keys = new Set(rows.map(({ key }) => key.split('.')[0] ?? key));
  const [old, now] = [new Map(Object.entries(before)), new Map(Object.entries(after))];
  return [...keys].filter((key) => JSON.stringify(old.get(key)) !== JSON.stringify(now.get(key)));
}
