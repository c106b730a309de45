#!/usr/bin/env node
// Keep this file free of static imports: every millisecond spent here is paid by every command.
const { main } = await import('../cli/main.ts');
process.exitCode = await main(process.argv.slice(2));
