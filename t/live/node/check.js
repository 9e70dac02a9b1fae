// The frame of the client scripts: check(name, condition) prints one result; done() ends.
'use strict';

let failed = 0;

exports.check = (name, good, more) => {
  if (!good) failed += 1;
  console.log((good ? 'ok - ' : 'not ok - ') + name);
  if (!good && more !== undefined) console.log(more);
};

exports.main = (work) => work().then(
  () => process.exit(failed ? 1 : 0),
  (error) => {
    console.log('not ok - no exception');
    console.log(error && error.stack ? error.stack : error);
    process.exit(1);
  });
