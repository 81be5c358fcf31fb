// run.mjs [PROGRAM MODEL] [--only TEXT]: the browser tests; those against the program only when it is
// named. Ends with "N passed, N failed, N skipped".
import { runTests } from './harness.mjs';
import { startScripted } from './scripted.mjs';

const args = process.argv.slice(2);
const at = args.indexOf('--only');
const only = at < 0 ? '' : args.splice(at, 2)[1];
const scripted = await startScripted();
const { passed, failed, skipped } = await runTests(only);
await scripted.stop();
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed > 0 ? 1 : 0);
