// Exercises npm `memjs` against HOST PORT [USER PASSWORD].
'use strict';
const { Client } = require('memjs');
const { check, main } = require('./check');

const [host, port, username, password] = process.argv.slice(2);
const client = Client.create(host + ':' + port,
  { username, password, timeout: 15, conntimeout: 15, retries: 0 });

main(async () => {
  check('set', await client.set('a', '1', {}) === true);
  check('get', (await client.get('a')).value.toString() === '1');
  check('get of an absent key', (await client.get('absent')).value === null);
  await client.set('empty', '', {});
  check('an empty value', (await client.get('empty')).value.length === 0);
  check('add', await client.add('b', '2', {}) === true && await client.add('b', '3', {}) === false);
  check('replace', await client.replace('b', '3', {}) === true
    && await client.replace('no', '3', {}) === false);
  check('append', await client.append('b', 'x') === true
    && (await client.get('b')).value.toString() === '3x');
  const why = await client.append('no', 'x').then(() => '', (error) => error.message);
  check('append to an absent key', /not stored/i.test(why), why);
  check('delete', await client.delete('b') === true && await client.delete('b') === false);

  const keys = Array.from({ length: 1000 }, (_, i) => 'k' + i);
  await Promise.all(keys.map((k, i) => client.set(k, 'value ' + i, {})));
  const values = await Promise.all(keys.map((k) => client.get(k)));
  check('1000 gets in flight', values.every((v, i) => v.value.toString() === 'value ' + i));

  const first = await client.increment('n', 5, { initial: 10 });
  check('increment with initial', Number(first.value) === 10, first);
  check('increment', Number((await client.increment('n', 5, {})).value) === 15);
  check('decrement', Number((await client.decrement('n', 6, {})).value) === 9);
  check('touch', await client.touch('n', 100) === true);
  const token = (await client.get('a')).flags;
  check('flags come back', token !== undefined);

  const odd = 'key with spaces\r\n\u0001€';
  check('a key with any byte', await client.set(odd, 'odd', {}) === true
    && (await client.get(odd)).value.toString() === 'odd');

  const big = Buffer.alloc(1000000, 'keepd ');
  check('set of 1 MB', await client.set('big', big, {}) === true);
  check('get of 1 MB', (await client.get('big')).value.equals(big));
  let refused = false;
  try {
    refused = await client.set('toobig', Buffer.alloc(2000000, 'x'), {}) !== true;
  } catch (error) {
    refused = true;
  }
  check('2 MB are refused', refused);
  check('the client goes on', (await client.get('a')).value.toString() === '1');

  const stats = await new Promise((resolve, reject) => client.stats(
    (error, server, all) => (error ? reject(error) : resolve(all))));
  check('stats', Number(stats.curr_items) > 1000, stats);
  await new Promise((resolve) => client.flush(resolve));
  check('flush', (await client.get('a')).value === null);
  client.close();
});
