set(web_asset_sources "")
