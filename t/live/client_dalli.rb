# Exercises Dalli against HOST PORT [USER PASSWORD], or against the socket PATH. With TLS_CA in the
# environment inside TLS, where the server has to show a certificate of that authority.
require 'dalli'
require 'openssl'

Dalli.logger.level = Logger::ERROR
$failed = 0

def check(name)
  good = yield
  puts((good ? 'ok - ' : 'not ok - ') + name)
  $failed += 1 unless good
rescue StandardError => e
  $failed += 1
  puts 'not ok - ' + name, e.full_message(highlight: false)
end

host, port, user, password = ARGV
options = { socket_timeout: 15, compress: false, value_max_bytes: 4 * 1024 * 1024 }
options.update(username: user, password: password) if user
if ENV['TLS_CA']
  context = OpenSSL::SSL::SSLContext.new
  context.set_params(ca_file: ENV['TLS_CA'], verify_mode: OpenSSL::SSL::VERIFY_PEER)
  options.update(ssl_context: context)
end
c = Dalli::Client.new(port ? "#{host}:#{port}" : host, options)
raw = { raw: true }

check('set and get') { c.set('a', '1', nil, raw) && c.get('a', raw) == '1' }
check('get of an absent key') { c.get('absent').nil? }
check('an empty value') { c.set('empty', '', nil, raw) && c.get('empty', raw) == '' }
check('add') { c.add('b', '2', nil, raw) && !c.add('b', '3', nil, raw) }
check('replace') { c.replace('b', '3', nil, raw).to_i > 0 && c.replace('no', '3', nil, raw).to_i.zero? }
check('append and prepend') { c.append('b', 'x') && c.prepend('b', 'y') && c.get('b', raw) == 'y3x' }
check('append to an absent key') { !c.append('no', 'x') }
check('delete') { c.delete('b') && !c.delete('b') }

keys = (0...1000).map { |i| "k#{i}" }
check('1000 quiet sets') do
  c.multi { keys.each { |k| c.set(k, "value #{k}", nil, raw) } }
  c.get('k999', raw) == 'value k999'
end
# Dalli 3.0's multi-get does not know its own TLS sockets.
unless ENV['TLS_CA']
  check('get_multi of 1000 keys') do
    found = c.get_multi(keys + ['absent'])
    found.size == 1000 && keys.all? { |k| found[k] == "value #{k}" }
  end
  check('get_multi_cas') do
    c.set('a', '1', nil, raw) && c.set('c', '1', nil, raw) && c.get_multi_cas('c', 'a').size == 2
  end
end

check('cas') { c.set('c', '1', nil, raw) && c.cas('c', nil, raw) { |v| v + '2' } && c.get('c', raw) == '12' }
check('get_cas and set_cas') do
  _, cas = c.get_cas('c')
  c.set_cas('c', '3', cas, nil, raw) && !c.set_cas('c', '4', cas, nil, raw) && c.get('c', raw) == '3'
end
check('delete_cas') { !c.delete_cas('c', 1) && c.delete_cas('c', c.get_cas('c')[1]) }

check('incr of an absent key') { c.incr('n', 5).nil? }
check('incr with a default') { c.incr('n', 5, nil, 10) == 10 && c.incr('n', 5) == 15 }
check('decr') { c.decr('n', 6) == 9 && c.decr('n', 100) == 0 }
check('decr with a default') { c.decr('m', 5, nil, 7) == 7 }
check('touch') { c.touch('n', 100) && !c.touch('no', 100) }
check('gat') { c.gat('a', 100) && c.gat('no', 100).nil? }

big = (0..255).map(&:chr).join.b * 4095
check('a value of 1 MB') { c.set('big', big, nil, raw) && c.get('big', raw).b == big }
check('2 MB are refused') do
  begin
    !c.set('toobig', 'x' * 2_000_000, nil, raw)
  rescue Dalli::DalliError
    true
  end
end
check('the client goes on') { c.get('a', raw) == '1' }

check('version') { c.version.values.first =~ /\A\d+\.\d+\.\d+\z/ }
check('alive') { c.alive! || true }
check('stats') { c.stats.values.first['curr_items'].to_i > 1000 }
check('stats settings') { c.stats(:settings).values.first['maxconns'].to_i == 1024 }
check('stats items and slabs') { c.stats(:items).values.first && c.stats(:slabs).values.first }
check('reset_stats') { c.reset_stats && c.stats.values.first['get_hits'].to_i < 10 }
check('flush') { c.flush && c.get('a').nil? }
c.close
exit($failed.zero? ? 0 : 1)
