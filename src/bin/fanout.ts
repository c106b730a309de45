#!/usr/bin/env node
import { main } from '../cli/main.ts';

// Without an answer it is no success, though nothing is left to wait for: the status that Node has for such modules.
process.on('exit', () => {
  process.exitCode ??= 13;
});
main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
