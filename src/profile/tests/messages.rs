use super::Folder;

#[test]
fn every_error_of_a_profile_is_shown_at_once() {
    let folder = Folder::with(&[("my.toml", include_str!("messages/profile.toml"))]);
    insta::assert_snapshot!(folder.lint("my.toml"));
}

#[test]
fn every_error_of_a_site_is_shown_at_once() {
    let folder = Folder::with(&[("site.toml", include_str!("messages/site.toml"))]);
    insta::assert_snapshot!(folder.lint("site.toml"));
}
