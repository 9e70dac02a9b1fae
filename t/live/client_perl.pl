# Exercises Cache::Memcached::Fast against the server named as HOST:PORT; prints TAP-like lines.
use strict;
use warnings;
use Cache::Memcached::Fast;

my $n_failed = 0;

sub check {
    my ($good, $name) = @_;
    print $good ? "ok - $name\n" : "not ok - $name\n";
    $n_failed++ unless $good;
}

my $c = Cache::Memcached::Fast->new({
    servers => [$ARGV[0]], connect_timeout => 10, io_timeout => 15, max_failures => 0,
    compress_threshold => -1,
});

check($c->set('a', '1'), 'set');
check($c->get('a') eq '1', 'get');
check(!defined $c->get('absent'), 'get of an absent key');
check($c->set('empty', ''), 'set of an empty value');
check($c->get('empty') eq '', 'get of an empty value');
check(!$c->add('a', '2') && $c->add('b', '2'), 'add');
check($c->replace('b', '3') && !$c->replace('no', '3'), 'replace');
check($c->append('b', 'x') && $c->prepend('b', 'y') && $c->get('b') eq 'y3x', 'append and prepend');
check($c->delete('b') && !$c->delete('b'), 'delete');

my %many = map { ("k$_" => "value $_ " x ($_ % 50)) } 1 .. 1000;
my $stored = $c->set_multi(map { [$_, $many{$_}] } keys %many);
check((grep { $stored->{$_} } keys %many) == 1000, 'set_multi of 1000 keys');
my $found = $c->get_multi(keys %many, 'absent');
check(keys %$found == 1000 && !(grep { $found->{$_} ne $many{$_} } keys %many),
    'get_multi of 1000 keys');
my $deleted = $c->delete_multi(keys %many);
check((grep { $deleted->{$_} } keys %many) == 1000, 'delete_multi of 1000 keys');

my $pair = $c->gets('a');
check($pair->[1] eq '1', 'gets');
check($c->cas('a', $pair->[0], '2'), 'cas that fits');
check(!$c->cas('a', $pair->[0], '3') && $c->get('a') eq '2', 'cas that does not fit');
check(defined $c->cas('a', $pair->[0], '3'), 'cas answers rather than fails');

$c->set('n', '10');
check($c->incr('n', 5) == 15 && $c->decr('n', 6) == 9, 'incr and decr');
check($c->decr('n', 100) eq '0' || $c->decr('n', 100) == 0, 'decr stops at 0');
check(!$c->incr('absent', 1), 'incr of an absent key');

check($c->touch('n', 100), 'touch');
check($c->set('gone', '1', -1) && !defined $c->get('gone'), 'expired at once');

my $big = join('', map { chr } 0 .. 255) x 4095;
check($c->set('big', $big) && $c->get('big') eq $big, 'a value of 1 MB');
check(!$c->set('toobig', 'x' x 2_000_000), 'a value of 2 MB is refused');
check($c->get('a') eq '2', 'the connection goes on after it');

$c->set("noreply$_", $_) for 1 .. 100;
check($c->get('noreply100') eq '100', 'set in void context sends noreply');

my $versions = $c->server_versions;
check($versions->{$ARGV[0]} =~ /^\d+\.\d+\.\d+$/, 'server_versions');
check($c->flush_all->{$ARGV[0]}, 'flush_all');
check(!defined $c->get('a'), 'nothing is left after flush_all');

exit($n_failed ? 1 : 0);
