// run.mjs [PROGRAM MODEL] [--only TEXT]: the browser tests; those against the program only when it is
// named. Ends with "N passed, N failed, N skipped".
import { runTests } from './harness.mjs';
import { programTests } from './program.mjs';
import { startScripted } from './scripted.mjs';

const args = process.argv.slice(2);
const at = args.indexOf('--only');
const only = at < 0 ? '' : args.splice(at, 2)[1];
const [program, model] = args;
const scripted = await startScripted();
const served = program ? programTests(program, model) : null;
await served?.start();
let { passed, failed, skipped } = await runTests(only);
await scripted.stop();
if (served) {
  const code = await served.stop();
  if (code !== 0) {
    console.log(`[  FAILED  ] ${program} serve ends with 0 after SIGTERM: it ended with ${code}`);
    failed += 1;
  }
}
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed > 0 ? 1 : 0);
