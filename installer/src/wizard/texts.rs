//! Owns every text of the wizard in every language it speaks. One struct, so that a language without a text does not compile.
//!
//! `{name}` is a place that [`fill`] replaces.

/// Texts of one language.
#[derive(Debug)]
pub(crate) struct Texts {
    pub tag: &'static str,
    pub medium: &'static str,
    pub place_heading: &'static str,
    pub place_body: &'static str,
    pub place_question: &'static str,
    pub place_foreign: &'static str,
    pub place_file: &'static str,
    pub place_medium: &'static str,
    pub place_installed: &'static str,
    pub place_interrupted: &'static str,
    pub trust_heading: &'static str,
    pub trust_body: &'static str,
    pub trust_question: &'static str,
    pub packs_heading: &'static str,
    pub packs_question: &'static str,
    pub packs_none: &'static str,
    pub components_heading: &'static str,
    pub components_question: &'static str,
    pub ports_heading: &'static str,
    pub ports_taken: &'static str,
    pub ports_question: &'static str,
    pub port_question: &'static str,
    pub port_wrong: &'static str,
    pub questions_heading: &'static str,
    pub secrets: &'static str,
    pub start_question: &'static str,
    pub summary_heading: &'static str,
    pub install: &'static str,
    pub update: &'static str,
    pub downgrade: &'static str,
    pub keep: &'static str,
    pub remove: &'static str,
    pub space: &'static str,
    pub stops: &'static str,
    pub starts: &'static str,
    pub starts_not: &'static str,
    pub data_stays: &'static str,
    pub medium_untouched: &'static str,
    pub confirm_question: &'static str,
    pub save_question: &'static str,
    pub save_where: &'static str,
    pub saved: &'static str,
    pub done_heading: &'static str,
    pub running_at: &'static str,
    pub running: &'static str,
    pub next_status: &'static str,
    pub next_start: &'static str,
    pub next_stop: &'static str,
    pub next_logs: &'static str,
    pub next_rollback: &'static str,
    pub next_uninstall: &'static str,
    pub insert_question: &'static str,
    pub resumed: &'static str,
    pub phase_recover: &'static str,
    pub phase_stage: &'static str,
    pub phase_verify: &'static str,
    pub phase_durable: &'static str,
    pub phase_publish: &'static str,
    pub phase_stop: &'static str,
    pub phase_start: &'static str,
    pub phase_clean: &'static str,
}

/// English.
pub(crate) static EN: Texts = Texts {
    tag: "en",
    medium: "The packs come from {medium}. Nothing is written there.",
    place_heading: "Where to install",
    place_body: "Everything goes into one directory that you can move or delete later. No administrator rights are needed.",
    place_question: "Install directory",
    place_foreign: "this directory holds other things ({example}); choose a new or empty one",
    place_file: "this is not a directory; choose a new or empty one",
    place_medium: "this is on the medium that the packs come from; choose a place on this machine",
    place_installed: "There is an installation here already: it will be changed, and you can go back.",
    place_interrupted: "An installation here did not come to its end: it goes on from what is there already.",
    trust_heading: "Whom to trust",
    trust_body: "This machine does not know the publisher of these packs yet. The fingerprint of its trust root is\n\n    {fingerprint}\n\nCompare it with the one that the publisher gave you in some other way than on this medium.",
    trust_question: "Is it the same, character by character?",
    packs_heading: "What to install",
    packs_question: "Packs (space chooses, enter goes on)",
    packs_none: "Choose at least one pack.",
    components_heading: "Components of {pack}",
    components_question: "Components (space chooses, enter goes on)",
    ports_heading: "Ports",
    ports_taken: "taken by another program; another one will be used",
    ports_question: "Use these ports?",
    port_question: "Port of {name}",
    port_wrong: "a port is a number from 1 to 65535",
    questions_heading: "Settings",
    secrets: "Passwords are generated on this machine and kept in {directory}: {names}.",
    start_question: "Start the services when everything is in place?",
    summary_heading: "What will change",
    install: "install {name} {version}, {size}",
    update: "update {name} from {from} to {version}, {size}",
    downgrade: "go back with {name} from {from} to {version}, {size}",
    keep: "keep {name} {version}",
    remove: "remove {name} {version}",
    space: "Space in {root}: {needed} needed, {free} free.",
    stops: "Running services are stopped for a moment; the version in use stays for a return.",
    starts: "Services are started at the end: {names}. If one does not become ready, everything goes back.",
    starts_not: "No service is started.",
    data_stays: "Your data stays where it is.",
    medium_untouched: "Nothing is written outside {root}.",
    confirm_question: "Go ahead?",
    save_question: "Save these answers, to install further machines without questions?",
    save_where: "File for the answers",
    saved: "Saved. On the next machine: {installer} install --answers {file}{trust} --yes",
    done_heading: "Done",
    running_at: "{name} runs at {addresses}",
    running: "{name} runs",
    next_status: "See what runs:     {kojibox} status",
    next_start: "Start:             {kojibox} up",
    next_stop: "Stop:              {kojibox} down",
    next_logs: "Read the logs:     {kojibox} logs",
    next_rollback: "Go back a version: {installer} rollback --root {root}",
    next_uninstall: "Uninstall:         {installer} uninstall --root {root}",
    insert_question: "Insert the medium that has {part} and press Enter, or say where it is",
    resumed: "Kept {kept} of an interrupted attempt; {to_read} to read.",
    phase_recover: "Recovering",
    phase_stage: "Installing",
    phase_verify: "Verifying",
    phase_durable: "Writing to disk",
    phase_publish: "Publishing",
    phase_stop: "Stopping services",
    phase_start: "Starting services",
    phase_clean: "Cleaning up",
};

/// Indonesian.
pub(crate) static ID: Texts = Texts {
    tag: "id",
    medium: "Paket dibaca dari {medium}. Tidak ada yang ditulis ke sana.",
    place_heading: "Lokasi pemasangan",
    place_body: "Semuanya disimpan dalam satu direktori yang nanti dapat dipindahkan atau dihapus. Hak administrator tidak diperlukan.",
    place_question: "Direktori pemasangan",
    place_foreign: "direktori ini berisi hal lain ({example}); pilih direktori baru atau kosong",
    place_file: "ini bukan direktori; pilih direktori baru atau kosong",
    place_medium: "ini berada di media sumber paket; pilih tempat di komputer ini",
    place_installed: "Di sini sudah ada pemasangan: isinya akan diubah, dan Anda dapat kembali.",
    place_interrupted: "Pemasangan di sini belum selesai: akan dilanjutkan dari yang sudah ada.",
    trust_heading: "Siapa yang dipercaya",
    trust_body: "Komputer ini belum mengenal penerbit paket ini. Sidik jari akar kepercayaannya adalah\n\n    {fingerprint}\n\nBandingkan dengan yang diberikan penerbit kepada Anda lewat jalan lain selain media ini.",
    trust_question: "Apakah sama, huruf demi huruf?",
    packs_heading: "Yang dipasang",
    packs_question: "Paket (spasi memilih, enter melanjutkan)",
    packs_none: "Pilih sedikitnya satu paket.",
    components_heading: "Komponen {pack}",
    components_question: "Komponen (spasi memilih, enter melanjutkan)",
    ports_heading: "Port",
    ports_taken: "dipakai program lain; port lain akan digunakan",
    ports_question: "Gunakan port ini?",
    port_question: "Port {name}",
    port_wrong: "port adalah angka dari 1 sampai 65535",
    questions_heading: "Pengaturan",
    secrets: "Kata sandi dibuat di komputer ini dan disimpan di {directory}: {names}.",
    start_question: "Jalankan layanan setelah semuanya siap?",
    summary_heading: "Yang akan berubah",
    install: "pasang {name} {version}, {size}",
    update: "perbarui {name} dari {from} ke {version}, {size}",
    downgrade: "kembalikan {name} dari {from} ke {version}, {size}",
    keep: "pertahankan {name} {version}",
    remove: "hapus {name} {version}",
    space: "Ruang di {root}: perlu {needed}, tersedia {free}.",
    stops: "Layanan yang berjalan dihentikan sebentar; versi yang dipakai disimpan untuk kembali.",
    starts: "Layanan dijalankan pada akhirnya: {names}. Jika ada yang tidak siap, semuanya dikembalikan.",
    starts_not: "Tidak ada layanan yang dijalankan.",
    data_stays: "Data Anda tetap di tempatnya.",
    medium_untouched: "Tidak ada yang ditulis di luar {root}.",
    confirm_question: "Lanjutkan?",
    save_question: "Simpan jawaban ini untuk memasang di komputer lain tanpa pertanyaan?",
    save_where: "Berkas jawaban",
    saved: "Tersimpan. Di komputer berikutnya: {installer} install --answers {file}{trust} --yes",
    done_heading: "Selesai",
    running_at: "{name} berjalan di {addresses}",
    running: "{name} berjalan",
    next_status: "Lihat yang berjalan: {kojibox} status",
    next_start: "Jalankan:            {kojibox} up",
    next_stop: "Hentikan:            {kojibox} down",
    next_logs: "Baca log:            {kojibox} logs",
    next_rollback: "Kembali satu versi:  {installer} rollback --root {root}",
    next_uninstall: "Hapus pemasangan:    {installer} uninstall --root {root}",
    insert_question: "Masukkan media yang berisi {part} lalu tekan Enter, atau sebutkan tempatnya",
    resumed: "{kept} dari percobaan yang terputus dipakai lagi; {to_read} masih harus dibaca.",
    phase_recover: "Memulihkan",
    phase_stage: "Memasang",
    phase_verify: "Memeriksa",
    phase_durable: "Menulis ke disk",
    phase_publish: "Menerbitkan",
    phase_stop: "Menghentikan layanan",
    phase_start: "Menjalankan layanan",
    phase_clean: "Membersihkan",
};

/// The texts of a language; English where we do not speak it.
pub(crate) fn texts(language: &str) -> &'static Texts {
    if language == ID.tag { &ID } else { &EN }
}

/// Puts values into the places of a text.
pub(crate) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, tail)) = after.split_once('}') else {
            break;
        };
        let value = values.iter().find(|(key, _)| *key == name);
        out.push_str(value.map_or("", |(_, value)| value));
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{EN, ID, fill};

    fn places(text: &str) -> BTreeSet<&str> {
        text.split('{')
            .skip(1)
            .filter_map(|rest| rest.split('}').next())
            .collect()
    }

    /// Field and text of every line of the debug form.
    fn pairs(texts: &super::Texts) -> Vec<(String, String)> {
        let shown = format!("{texts:#?}");
        let lines = shown.lines().filter_map(|line| line.trim().split_once(": "));
        lines.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    #[test]
    fn both_languages_have_the_same_places_and_different_words() {
        let (en, id) = (pairs(&EN), pairs(&ID));
        assert_eq!(en.len(), id.len());
        assert!(en.len() > 40, "the debug form lists every text");
        for ((name, english), (_, indonesian)) in en.iter().zip(&id) {
            assert_eq!(places(english), places(indonesian), "`{name}`");
            assert!(english != indonesian, "`{name}` is not translated");
        }
    }

    #[test]
    fn values_are_not_taken_for_places() {
        assert_eq!(fill("a {x} b {y}.", &[("x", "{y}"), ("y", "2")]), "a {y} b 2.");
        assert_eq!(fill("no place", &[("x", "1")]), "no place");
    }
}
