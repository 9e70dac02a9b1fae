<?php
// Exercises php-memcached: MODE HOST PORT [USER PASSWORD], MODE is binary or text.

$failed = 0;

function check($name, $good)
{
    global $failed;
    $failed += $good ? 0 : 1;
    echo ($good ? 'ok - ' : 'not ok - ') . $GLOBALS['argv'][1] . ': ' . $name . "\n";
}

list(, $mode, $host, $port) = $argv;
$binary = $mode === 'binary';
$c = new Memcached();
$c->setOptions([
    Memcached::OPT_BINARY_PROTOCOL => $binary,
    Memcached::OPT_COMPRESSION => false,
    Memcached::OPT_TCP_NODELAY => true,
    Memcached::OPT_CONNECT_TIMEOUT => 15000,
    Memcached::OPT_POLL_TIMEOUT => 15000,
]);
if (isset($argv[5])) {
    $c->setSaslAuthData($argv[4], $argv[5]);
}
$c->addServer($host, (int)$port);

check('set and get', $c->set('a', '1') && $c->get('a') === '1');
check('get of an absent key', $c->get('absent') === false
    && $c->getResultCode() === Memcached::RES_NOTFOUND);
check('an empty value', $c->set('empty', '') && $c->get('empty') === '');
check('add', $c->add('b', '2') && !$c->add('b', '3'));
check('replace', $c->replace('b', '3') && !$c->replace('no', '3'));
check('append and prepend', $c->append('b', 'x') && $c->prepend('b', 'y') && $c->get('b') === 'y3x');
check('append to an absent key', !$c->append('no', 'x')
    && $c->getResultCode() === Memcached::RES_NOTSTORED);
check('delete', $c->delete('b') && !$c->delete('b'));

$many = [];
for ($i = 0; $i < 1000; $i++) {
    $many["k$i"] = str_repeat("value $i ", $i % 50);
}
check('setMulti of 1000 keys', $c->setMulti($many));
$found = $c->getMulti(array_merge(array_keys($many), ['absent']));
ksort($found);
$sorted = $many;
ksort($sorted);
check('getMulti of 1000 keys', $found === $sorted);
$c->getDelayed(array_keys($many), true);
check('getDelayed of 1000 keys', count($c->fetchAll()) === 1000);
$c->deleteMulti(array_keys($many));
check('deleteMulti of 1000 keys', $c->getMulti(array_keys($many)) === []);

$got = $c->get('a', null, Memcached::GET_EXTENDED);
check('cas that fits', $c->cas($got['cas'], 'a', '2'));
check('cas that does not fit', !$c->cas($got['cas'], 'a', '3')
    && $c->getResultCode() === Memcached::RES_DATA_EXISTS);

if ($binary) {
    check('increment with initial', $c->increment('n', 5, 10) === 10 && $c->increment('n', 5) === 15);
    check('decrement with initial', $c->decrement('m', 5, 7) === 7);
} else {
    $c->set('n', 15);
}
check('increment of an absent key', $c->increment('no', 1) === false);
check('decrement', $c->decrement('n', 6) === 9 && $c->decrement('n', 100) === 0);
check('touch', $c->touch('a', 100) && !$c->touch('no', 100));
check('expiry', $c->set('gone', '1', time() - 10) && $c->get('gone') === false);
check('types', $c->set('float', 1.5) && $c->get('float') === 1.5
    && $c->set('list', [1, 'x' => null]) && $c->get('list') === [1, 'x' => null]);

$big = str_repeat(implode('', array_map('chr', range(0, 255))), 4095);
check('a value of 1 MB', $c->set('big', $big) && $c->get('big') === $big);
check('2 MB are refused', !$c->set('toobig', str_repeat('x', 2000000)));
check('the client goes on', $c->get('a') === '2');
check('a key of 250 bytes', $c->set(str_repeat('k', 250), '1') && $c->get(str_repeat('k', 250)) === '1');
if ($binary) {
    check('a key with odd bytes', $c->set("k\u{20ac}\x7f", '1') && $c->get("k\u{20ac}\x7f") === '1');
}

$versions = $c->getVersion();
check('version', preg_match('/^\d+\.\d+\.\d+$/', reset($versions)) === 1);
$stats = $c->getStats();
check('stats', is_array($stats) && reset($stats)['curr_items'] >= 5);
check('flush', $c->flush() && $c->get('a') === false);
exit($failed ? 1 : 0);
