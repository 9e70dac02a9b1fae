// Exercises npm `memcached` against HOST PORT.
'use strict';
const Memcached = require('memcached');
const { check, main } = require('./check');

const client = new Memcached(process.argv[2] + ':' + process.argv[3],
  { timeout: 15000, retries: 0, failures: 1000, maxValue: 4 * 1024 * 1024 });

// Answers {error, value} instead of throwing.
const ask = (verb, ...args) => new Promise((resolve) => {
  client[verb](...args, (error, value) => resolve({ error, value }));
});

main(async () => {
  check('set', (await ask('set', 'a', '1', 0)).value === true);
  check('get', (await ask('get', 'a')).value === '1');
  check('get of an absent key', (await ask('get', 'absent')).value === undefined);
  check('set of an empty value', (await ask('set', 'empty', '', 0)).value === true);
  check('get of an empty value', (await ask('get', 'empty')).value === '');
  check('add', (await ask('add', 'b', '2', 0)).value === true
    && (await ask('add', 'b', '3', 0)).value === false);
  check('replace', (await ask('replace', 'b', '3', 0)).value === true
    && (await ask('replace', 'no', '3', 0)).value === false);
  await ask('append', 'b', 'x');
  await ask('prepend', 'b', 'y');
  check('append and prepend', (await ask('get', 'b')).value === 'y3x');
  check('del', (await ask('del', 'b')).value === true && (await ask('del', 'b')).value === false);

  const keys = Array.from({ length: 1000 }, (_, i) => 'k' + i);
  await Promise.all(keys.map((k, i) => ask('set', k, 'value ' + i, 0)));
  const many = (await ask('getMulti', keys)).value;
  check('getMulti of 1000 keys', Object.keys(many).length === 1000
    && keys.every((k, i) => many[k] === 'value ' + i));

  const got = (await ask('gets', 'a')).value;
  check('cas that fits', (await ask('cas', 'a', '2', got.cas, 0)).value === true);
  check('cas that does not fit', (await ask('cas', 'a', '3', got.cas, 0)).value === false);

  await ask('set', 'n', '10', 0);
  check('incr', (await ask('incr', 'n', 5)).value === 15);
  check('decr', (await ask('decr', 'n', 6)).value === 9);
  check('incr of an absent key', (await ask('incr', 'absent', 1)).value === false);
  check('touch', (await ask('touch', 'n', 100)).value === true);
  check('expired at once', (await ask('set', 'gone', '1', -1)).value === true
    && (await ask('get', 'gone')).value === undefined);

  const big = Buffer.alloc(1000000, 'keepd ');
  check('set of 1 MB', (await ask('set', 'big', big, 0)).value === true);
  const back = (await ask('get', 'big')).value;
  check('get of 1 MB', Buffer.isBuffer(back) && back.equals(big));
  // The package takes a SERVER_ERROR for a dead server, so this is another client's request.
  const other = new Memcached(client.servers[0], { retries: 0, maxValue: 4 * 1024 * 1024 });
  const stored = await new Promise((resolve) => other.set('toobig', Buffer.alloc(2000000, 'x'), 0,
    (error, value) => resolve(value)));
  other.end();
  check('2 MB are refused', stored !== true, stored);
  check('the server goes on', (await ask('get', 'a')).value === '2');

  check('version', /^\d+\.\d+\.\d+$/.test((await ask('version')).value[0].version));
  check('stats', Number((await ask('stats')).value[0].curr_items) > 1000);
  check('settings', Number((await ask('settings')).value[0].maxconns) === 1024);
  const slabs = await ask('slabs');
  check('slabs', !slabs.error, slabs.error);
  const items = await ask('items');
  check('items', !items.error, items.error);
  check('flush', (await ask('flush')).value !== undefined
    && (await ask('get', 'a')).value === undefined);
  client.end();
});
