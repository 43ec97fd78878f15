<?php
// The attendance page as a PHP application would have it: who is it, may they, their rows, JSON.
// With CACHE in its environment the rows come from Redis where it has them.
function out($status, $text) {
    http_response_code($status);
    header('Content-Type: application/json');
    header('Cache-Control: no-store');
    echo $text;
    exit;
}

$redis = new Redis();
$redis->pconnect('127.0.0.1', (int) $_SERVER['REDIS_PORT']);
$redis->select(0);
$id = base64_decode(strtr($_COOKIE['session'] ?? '', '-_', '+/'), true);
$session = $id === false ? false : $redis->get('portal:session:' . hash('sha256', $id));
if (!$session) out(401, '{}');
[$user, $generation] = explode(' ', $session);

$db = new PDO("mysql:host=127.0.0.1;port={$_SERVER['MYSQL_PORT']};dbname=portal;charset=utf8mb4",
    'root', '', [PDO::ATTR_PERSISTENT => true, PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
$find = $db->prepare('SELECT role, disabled, session_gen FROM users WHERE id = ?');
$find->execute([$user]);
$row = $find->fetch(PDO::FETCH_ASSOC);
if (!$row || $row['disabled'] || $row['session_gen'] != $generation) out(401, '{}');
if ($row['role'] !== 'student') out(403, '{}');

$cached = !empty($_SERVER['CACHE']);
if ($cached && ($text = $redis->get("php:attendance:$user")) !== false) out(200, $text);

$select = $db->prepare("SELECT c.code, c.title, s.id, DATE_FORMAT(s.starts_at, '%Y-%m-%dT%H:%i:%sZ'), a.mark
    FROM enrolments e JOIN courses c ON c.id = e.course_id
    LEFT JOIN class_sessions s ON s.course_id = c.id
    LEFT JOIN attendance a ON a.session_id = s.id AND a.student_id = e.student_id
    WHERE e.student_id = ? ORDER BY c.code, s.starts_at, s.id");
$select->execute([$user]);
$courses = [];
foreach ($select->fetchAll(PDO::FETCH_NUM) as [$code, $title, $class, $at, $mark]) {
    $courses[$code] ??= ['course' => $code, 'title' => $title, 'sessions' => [],
        'totals' => ['present' => 0, 'late' => 0, 'absent' => 0, 'excused' => 0, 'unmarked' => 0],
        'percentage' => null, 'below_75' => false];
    if ($class === null) continue;
    $courses[$code]['sessions'][] = ['session' => (string) $class, 'starts_at' => $at, 'mark' => $mark];
    $courses[$code]['totals'][$mark ?? 'unmarked']++;
}
foreach ($courses as &$course) {
    $there = $course['totals']['present'] + $course['totals']['late'];
    $counted = $there + $course['totals']['absent'];
    if ($counted) $course['percentage'] = intdiv(100 * $there, $counted);
    $course['below_75'] = 100 * $there < 75 * $counted;
}
$text = json_encode(['courses' => array_values($courses)]);
if ($cached) $redis->setex("php:attendance:$user", 300, $text);
out(200, $text);
